"""A running gateway for tests: real Postgres and Redis, the provider simulator as a process, HTTP in between."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from uuid_utils import uuid7

from inference_gateway import app as composition
from inference_gateway.ledger_worker import take
from inference_gateway.settings import Settings
from inference_gateway.store import accounts
from inference_gateway.store.admission import SHARDS, Streams, epoch
from inference_gateway.store.entries import Facts
from inference_gateway.store.resp import RedisPipe
from inference_gateway.store.tables import ledger
from shipjury_delivery.process import public_app
from shipjury_delivery.serving import bind, serve
from shipjury_standalone.testing import wait_until

ROOT = Path(__file__).parents[3]
KEY = "sk-sj-bootstrap-key-of-tests"
PROVIDERS = {
    "alpha": (
        "sim-chat",
        '["chat", "completions", "embeddings", "logprobs", "tools", "json_schema"]',
        '["logit_bias"]',
        1000,
    ),
    "beta": ("beta/sim-chat", '["chat", "tools"]', '["logprobs", "top_logprobs", "n"]', 0),
    "gamma": ("gamma-sim-chat", '["chat", "completions", "logprobs"]', "[]", 5),
}
PRICES = {"alpha": ("0.59", "0.295", "0.79"), "beta": ("0.0375", "0.0375", "0.15"), "gamma": ("2.5", "1.25", "10")}


def write_providers(folder: Path, base_url: str, names: tuple[str, ...] = tuple(PROVIDERS)) -> None:
    """The simulator's providers, as files of the gateway."""
    for name in names:
        model, features, rejects, logprobs = PROVIDERS[name]
        given, cached, made = PRICES[name]
        (folder / f"{name}.toml").write_text(
            f"""
id = "{name}"
display_name = "Simulated {name}"
base_url = "{base_url}/{name}/v1"
features = {features}
rejects = {rejects}
max_logprobs = {logprobs}
[auth]
env = ["{name.upper()}_KEY"]
[[models]]
id = "{model}"
name = "sim-chat"
max_output_tokens = 20000
[[models.prices]]
since = 2026-01-01
input = "{given}"
cached_input = "{cached}"
output = "{made}"
source = "the simulator"
"""
        )


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """Address of the running provider simulator."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sim"], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    yield address
    process.terminate()
    process.wait(10)


@dataclass
class Gateway:
    """A gateway in this process, and what tests ask of it."""

    url: str
    engine: AsyncEngine
    pipe: RedisPipe
    settings: Settings
    simulator: str
    session: aiohttp.ClientSession
    api: Any
    key: str = KEY
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(self, path: str = "/v1/chat/completions", **body: Any) -> tuple[int, Any, Any]:
        """Post JSON; returns status, parsed body (text for streams) and headers."""
        key = body.pop("key", self.key)
        headers = {"Authorization": f"Bearer {key}"} | body.pop("headers", {})
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            stream = response.content_type == "text/event-stream"
            return response.status, await (response.text() if stream else response.json()), response.headers

    async def chat(self, text: str = "hello there", **body: Any) -> tuple[int, Any, Any]:
        """A chat request about ``text``."""
        return await self.post(**{"model": "sim-chat:alpha", "messages": [{"role": "user", "content": text}]} | body)

    async def get(self, path: str) -> tuple[int, Any]:
        """Get JSON."""
        async with self.session.get(self.url + path, headers={"Authorization": f"Bearer {self.key}"}) as response:
            return response.status, await response.json()

    async def settled(self) -> None:
        """An answer may be here a moment before Redis has settled it: wait for what is open, half a second at most."""
        for _ in range(50):
            if not await self.pipe.call("KEYS", "sj:*:open:*"):
                return
            await asyncio.sleep(0.01)

    async def ledger(self) -> list[dict[str, Any]]:
        """Take what is settled into the ledger, and read it."""
        await self.settled()
        while await take(Streams(self.pipe), self.engine):
            pass
        async with self.engine.connect() as connection:
            rows = await connection.execute(sa.select(ledger).order_by(ledger.c.id))
            return [dict(row) for row in rows.mappings()]

    async def account(self) -> list[dict[str, Any]]:
        """What the simulated providers would bill."""
        async with self.session.get(f"{self.simulator}/_sim/account") as response:
            return list(await response.json())

    async def change(self, work: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
        """Do something with accounts and let the snapshot see it."""
        async with self.engine.begin() as connection:
            result = await work(connection, *arguments, **named)
        await self.refresh()
        return result

    async def refresh(self) -> None:
        """Re-read the snapshot now."""
        await self._snapshots().refresh()

    def _snapshots(self) -> Any:
        owners = [getattr(part, "__self__", None) for part in self.api.background]
        return next(owner for owner in owners if hasattr(owner, "refresh"))

    def accounts(self) -> Any:
        """The accounts that the replica knows."""
        return self._snapshots().current.accounts

    def facts(self, **changes: Any) -> Facts:
        """Facts of an attempt of the bootstrap key."""
        account = next(iter(self.accounts().values()))
        values: dict[str, Any] = {
            "attempt_id": str(uuid7()),
            "request_id": f"req_{uuid7().hex}",
            "first": True,
            "organisation_id": account.organisation_id,
            "project_id": account.project_id,
            "key_id": account.key_id,
            "cost_centre": None,
            "end_user": None,
            "provider": "alpha",
            "model": "sim-chat",
            "route": "/v1/completions",
            "started_at": datetime.now(UTC),
            "price_version": "alpha/1",
            "bound_nano_usd": 100,
            "counters": (),
            "explanation": None,
        }
        return Facts(**values | changes)

    async def counters(self) -> dict[str, int]:
        """Every budget's counter."""
        names = await self.pipe.call("KEYS", "sj:*:c:*")
        assert isinstance(names, list)
        return {name.decode(): int(await self.pipe.call("GET", name)) for name in names}  # type: ignore[call-overload]

    async def budget(self, limit: int, metric: str = "nano_usd", window: str = "total", scope: str = "project") -> str:
        """Put a budget on the bootstrap project or key."""
        async with self.engine.connect() as connection:
            found = next(iter((await accounts.accounts(connection)).values()))
        owner = {"project": found.project_id, "key": found.key_id, "organisation": found.organisation_id}[scope]
        return str(await self.change(accounts.set_budget, scope, owner, metric, window, limit))


@pytest_asyncio.fixture
async def start(
    make_database: Any, redis_url: str, simulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """``await start(first_token_seconds=0.3)``: a gateway with these settings; ended after the test."""
    for name in PROVIDERS:
        monkeypatch.setenv(f"{name.upper()}_KEY", f"{name}-secret")
    stack = contextlib.AsyncExitStack()

    async def make(**settings: Any) -> Gateway:
        folder = tmp_path / "providers"
        folder.mkdir(exist_ok=True)
        write_providers(folder, simulator)
        for name, (old, new) in settings.pop("change_providers", {}).items():
            path = folder / f"{name}.toml"
            path.write_text(path.read_text().replace(old, new))
        made = Settings(
            **{
                "database_url": await make_database("inference_gateway"),
                "kafka_bootstrap_servers": "127.0.0.1:1",
                "redis_url": redis_url,
                "operator_key": "operators",
                "providers_dir": folder,
                "shipped_providers": False,
                "bootstrap_key": KEY,
            }
            | settings
        )
        api = await stack.enter_async_context(composition.api(made))
        stop = asyncio.Event()
        listening = bind("127.0.0.1", 0)
        engine = create_async_engine(made.database_url.get_secret_value())
        pipe = RedisPipe(redis_url, deadline_s=5)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        gateway = Gateway(
            f"http://127.0.0.1:{listening.getsockname()[1]}", engine, pipe, made, simulator, session, api, _stop=stop
        )
        tasks = [asyncio.create_task(serve(public_app(api, made), listening, stop))]
        tasks += [asyncio.create_task(part(stop)) for part in api.background]

        async def end() -> None:
            stop.set()
            await asyncio.gather(*tasks)
            await pipe.close()
            await engine.dispose()

        stack.push_async_callback(end)
        async with session.post(f"{simulator}/_sim/reset"):
            pass
        await wait_until(lambda: is_open(pipe))
        return gateway

    yield make
    await stack.aclose()


@pytest_asyncio.fixture
async def gateway(start: Callable[..., Awaitable[Gateway]]) -> Gateway:
    """A gateway with ordinary settings."""
    return await start()


async def is_open(pipe: RedisPipe) -> bool:
    """Whether every shard admits."""
    return all([str(await pipe.call("GET", epoch(shard))).startswith("b'open:") for shard in range(SHARDS)])
