"""A service as a process: two ports, health that means something, an orderly end."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from shipjury_delivery import Api, ServiceSettings, Worker
from shipjury_delivery.health import NotReady, nothing_here
from shipjury_delivery.process import run_api, run_worker
from shipjury_delivery.serving import PortInUse
from shipjury_delivery.testing import Gate, World, until
from shipjury_standalone.ports import free_port

SERVICE = '''
"""A service, as small as can be."""
from contextlib import asynccontextmanager

from pydantic_settings import SettingsConfigDict
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from shipjury_delivery import Api, ServiceSettings, Worker, service_cli
from shipjury_delivery.database import create_engine


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")


async def hello(request):
    return PlainTextResponse(f"hello {request.path_params['name']}")


@asynccontextmanager
async def api(settings):
    yield Api(public=Starlette(routes=[Route("/hello/{name}", hello)]), operator=Starlette())


@asynccontextmanager
async def worker(settings):
    engine = create_engine(settings)
    yield Worker("sample", engine, settings)
    await engine.dispose()


cli = service_cli("sample", Settings, api, worker)
cli()
'''


class Settings(ServiceSettings):
    """Settings of the service of these tests."""

    model_config = SettingsConfigDict(env_prefix="VOTES_")


def _settings(database_url: str, kafka: str = "127.0.0.1:1", **changes: int) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        kafka_bootstrap_servers=kafka,
        operator_key=SecretStr("key"),
        public_port=free_port(),
        operator_port=free_port(),
        **changes,  # type: ignore[arg-type]
    )


async def _status(port: int, path: str, **headers: str) -> int:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=5)).status_code
        except httpx.ConnectError:
            return 0


async def test_readers_and_operators_have_a_port_each(database_url: str) -> None:
    settings, stop = _settings(database_url), asyncio.Event()
    running = asyncio.create_task(run_api(Api(nothing_here, nothing_here), settings, stop))
    await until(lambda: _status(settings.operator_port, "/votes/healthz"))
    assert await _status(settings.operator_port, "/votes/healthz") == 200
    assert await _status(settings.operator_port, "/votes/metrics") == 200
    assert await _status(settings.operator_port, "/votes/anything") == 401
    assert await _status(settings.operator_port, "/votes/anything", authorization="Bearer key") == 404
    assert await _status(settings.public_port, "/votes/metrics") == 404
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_readyz_follows_the_database_and_healthz_does_not(gate: Gate) -> None:
    settings, stop = _settings(gate.url), asyncio.Event()
    running = asyncio.create_task(run_api(Api(nothing_here, nothing_here), settings, stop))
    await until(lambda: _status(settings.operator_port, "/votes/healthz"))
    assert await _status(settings.operator_port, "/votes/readyz") == 200
    await gate.shut()
    assert await _status(settings.operator_port, "/votes/readyz") == 503
    assert await _status(settings.operator_port, "/votes/healthz") == 200
    await gate.open()
    assert await _status(settings.operator_port, "/votes/readyz") == 200
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_a_check_of_the_service_s_own_counts(database_url: str) -> None:
    async def weights() -> None:
        raise NotReady("the weights are not there yet")

    settings, stop = _settings(database_url), asyncio.Event()
    api = Api(nothing_here, nothing_here, ready={"weights": weights})
    running = asyncio.create_task(run_api(api, settings, stop))
    await until(lambda: _status(settings.operator_port, "/votes/healthz"))
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{settings.operator_port}/votes/readyz")
    assert answer.status_code == 503
    assert answer.json()["missing"] == {"weights": "the weights are not there yet"}
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_a_worker_tells_of_its_health_on_its_own_port(world: World) -> None:
    settings = _settings(world.database_url, world.kafka, worker_port=free_port())
    stop = asyncio.Event()
    worker = Worker("votes", world.engine, settings, [world.subscription()])
    running = asyncio.create_task(run_worker(worker, stop))
    port = settings.worker_port or 0
    await until(lambda: _is_ready(port))
    async with httpx.AsyncClient() as client:
        checked = (await client.get(f"http://127.0.0.1:{port}/votes/readyz")).json()["checked"]
    assert checked == ["broker", "database", "relay", f"subscriber {world.group}"]
    stop.set()
    await asyncio.wait_for(running, 20)


async def test_a_port_in_use_is_named(database_url: str) -> None:
    settings, stop = _settings(database_url), asyncio.Event()
    running = asyncio.create_task(run_api(Api(nothing_here, nothing_here), settings, stop))
    await until(lambda: _status(settings.operator_port, "/votes/healthz"))
    with pytest.raises(PortInUse, match=str(settings.public_port)):
        await run_api(Api(nothing_here, nothing_here), settings, asyncio.Event())
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_a_background_loop_that_fails_runs_again(database_url: str) -> None:
    settings, stop = _settings(database_url), asyncio.Event()
    runs: list[int] = []

    async def loop(stop: asyncio.Event) -> None:
        runs.append(len(runs))
        if len(runs) < 2:
            raise RuntimeError("once")
        stop.set()

    await asyncio.wait_for(run_api(Api(nothing_here, nothing_here, [loop]), settings, stop), 20)
    assert runs == [0, 1]


async def test_a_service_serves_from_its_command_line_and_ends_in_order_at_sigterm(
    tmp_path: Path, world: World
) -> None:
    program = tmp_path / "sample.py"
    program.write_text(SERVICE)
    public, operators = free_port(), free_port()
    environment = os.environ | {
        "SAMPLE_DATABASE_URL": world.database_url,
        "SAMPLE_KAFKA_BOOTSTRAP_SERVERS": world.kafka,
        "SAMPLE_OPERATOR_KEY": "key",
        "SAMPLE_PUBLIC_PORT": str(public),
        "SAMPLE_OPERATOR_PORT": str(operators),
        "SAMPLE_WORKER_PORT": str(worker_port := free_port()),
    }
    api = await asyncio.create_subprocess_exec(sys.executable, str(program), "api", env=environment)
    worker = await asyncio.create_subprocess_exec(sys.executable, str(program), "worker", env=environment)
    try:
        await until(lambda: _status(public, "/hello/reader"), 60)
        assert await _status(public, "/hello/reader") == 200
        async with httpx.AsyncClient() as client:
            measured = (await client.get(f"http://127.0.0.1:{operators}/sample/metrics")).text
        assert 'route="/hello/{name}"' in measured
        await until(lambda: _is_ready(worker_port, "sample"), 60)
    finally:
        for process in (api, worker):
            process.send_signal(signal.SIGTERM)
        ended = [await asyncio.wait_for(process.wait(), 20) for process in (api, worker)]
    assert ended == [0, 0]


def test_settings_that_are_missing_or_wrong_are_named_as_variables_without_their_values(tmp_path: Path) -> None:
    program = tmp_path / "sample.py"
    program.write_text(SERVICE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMPLE_")} | {
        "SAMPLE_DATABASE_URL": "postgresql+asyncpg://nobody:hush@127.0.0.1:1/none",
        "SAMPLE_OPERATOR_PORT": "hush",
    }
    done = subprocess.run(
        [sys.executable, str(program), "api"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in said] == [
        "SAMPLE_KAFKA_BOOTSTRAP_SERVERS",
        "SAMPLE_OPERATOR_KEY",
        "SAMPLE_OPERATOR_PORT",
    ]
    assert said[0].startswith("SAMPLE_KAFKA_BOOTSTRAP_SERVERS: is not set. Kafka brokers, host:port")
    assert "hush" not in done.stderr


def test_a_command_or_an_api_does_not_wait_for_what_only_workers_need() -> None:
    slow = "{'alembic', 'faststream', 'aiokafka', 'opentelemetry.exporter.otlp'}"
    code = f"import sys, shipjury_delivery; print(sorted({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


async def _is_ready(port: int, service: str = "votes") -> bool:
    return await _status(port, f"/{service}/readyz") == 200
