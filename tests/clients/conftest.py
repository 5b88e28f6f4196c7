"""A gateway as a process of its own, as a client meets it: an address and a key. Behind it, simulated providers."""

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from shipjury_delivery.migrations import upgrade
from shipjury_standalone import children
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.embedded.redis import Redis
from shipjury_standalone.ports import answers, free_port

ROOT = Path(__file__).parents[2]
KEY = "sk-sj-key-of-the-client-tests"
_PROVIDER = """
id = "{name}"
display_name = "Simulated {name}"
base_url = "{simulator}/{name}/v1"
features = {features}
rejects = {rejects}
max_logprobs = 20
[auth]
env = ["CLIENTS_{upper}_KEY"]
[[models]]
id = "{model}"
name = "sim-chat"
max_output_tokens = 20000
[[models.prices]]
since = 2026-01-01
input = "0.59"
cached_input = "0.295"
output = "0.79"
source = "the simulator"
"""
_FILES = {
    "alpha": ("sim-chat", '["chat", "completions", "embeddings", "logprobs", "tools", "json_schema", "images"]', "[]"),
    "beta": ("beta/sim-chat", '["chat"]', '["logprobs", "top_logprobs", "n"]'),
}


@dataclass(frozen=True)
class Address:
    """Where the gateway is, and the key that it lets in."""

    origin: str
    key: str = KEY

    @property
    def v1(self) -> str:
        """What clients call the base URL."""
        return f"{self.origin}/v1"


@pytest.fixture(scope="session")
def gateway(embedded_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A running gateway; it answers when this returns."""
    folder = tmp_path_factory.mktemp("clients")
    # Its own Redis: other tests empty theirs.
    redis = Redis(folder / "redis", durable=False)
    redis.start()
    simulator = _Simulator(folder)
    running = None
    try:
        providers = folder / "providers"
        providers.mkdir()
        for name, (model, features, rejects) in _FILES.items():
            (providers / f"{name}.toml").write_text(
                _PROVIDER.format(
                    name=name,
                    upper=name.upper(),
                    simulator=simulator.url,
                    features=features,
                    rejects=rejects,
                    model=model,
                )
            )
        public = free_port()
        environment = {
            "GATEWAY_DATABASE_URL": asyncio.run(_database(embedded_postgres)),
            "GATEWAY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "GATEWAY_REDIS_URL": redis.url,
            "GATEWAY_OPERATOR_KEY": "operators",
            "GATEWAY_PROVIDERS_DIR": str(providers),
            "GATEWAY_SHIPPED_PROVIDERS": "false",
            "GATEWAY_BOOTSTRAP_KEY": KEY,
            "GATEWAY_PUBLIC_PORT": str(public),
            "GATEWAY_OPERATOR_PORT": str(free_port()),
            **{f"CLIENTS_{name.upper()}_KEY": f"{name}-secret" for name in _FILES},
        }
        running = children.start(
            "The gateway",
            [sys.executable, "-m", "inference_gateway", "api"],
            log=children.into_file(folder / "gateway.log"),
            environment={**os.environ, **environment},
        )
        address = Address(f"http://127.0.0.1:{public}")
        running.wait_until(lambda: _admits(address), seconds=110)
        yield address
    finally:
        if running is not None:
            running.stop()
        simulator.stop()
        redis.stop()


class _Simulator:
    """The provider simulator as a process; ``url`` is where it is."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._child = children.start(
            "The provider simulator",
            [sys.executable, "-m", "tests.sim", "--port", str(port)],
            log=children.into_file(folder / "simulator.log"),
            working_folder=ROOT,
        )
        self._child.wait_until(lambda: answers(port), seconds=60)

    def stop(self) -> None:
        """End it."""
        self._child.stop()


async def _database(server: Postgres) -> str:
    name = "gateway_of_the_client_tests"
    admin = await asyncpg.connect(server.dsn())
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
    finally:
        await admin.close()
    await upgrade("inference_gateway", server.url(name))
    return server.url(name)


def _admits(address: Address) -> bool:
    """Whether a request goes through: the gateway is up, and its budgets are open."""
    body = {"model": "sim-chat", "messages": [{"role": "user", "content": "words=1"}]}
    headers = {"Authorization": f"Bearer {address.key}"}
    try:
        return httpx.post(f"{address.v1}/chat/completions", json=body, headers=headers, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
