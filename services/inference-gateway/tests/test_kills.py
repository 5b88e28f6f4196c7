"""The ledger is true though gateways and the ledger worker are killed in the middle of their work."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import structlog
from sqlalchemy.ext.asyncio import create_async_engine

from shipjury_standalone.embedded.redis import Redis
from shipjury_standalone.testing import wait_until

from .conftest import KEY, PROVIDERS, write_providers
from .processes import Running, environment, start
from .truth import hold, settled

REQUESTS = 640
CLIENTS = 16
FAULTS = ["", "", "", "", "", "", "fault=500@alpha", "fault=cut", "fault=reset", "fault=no-usage", "fault=slow words=6"]


class Client:
    """Asks at random, until enough has been asked; remembers which answers it saw whole."""

    def __init__(self, url: Callable[[], str], seed: int) -> None:
        self.whole: list[str] = []
        self.asked = 0
        self._url = url
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Ask until this client has had its share of answers."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            while self.asked < REQUESTS / CLIENTS:
                try:
                    await self._ask(session, self.asked)
                    self.asked += 1
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.05)  # the gateway is being killed; a client would wait too

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        stream_it = self._random.random() < 0.5
        fault = self._random.choice(FAULTS)
        body = {
            "model": self._random.choice(["sim-chat", "sim-chat:alpha", "sim-chat:cheapest"]),
            "messages": [{"role": "user", "content": f"request {number} {fault}"}],
            "stream": stream_it,
            "max_tokens": 200,
        }
        headers = {"Authorization": f"Bearer {KEY}"}
        async with session.post(f"{self._url()}/v1/chat/completions", json=body, headers=headers) as response:
            if stream_it and self._random.random() < 0.1:
                await response.content.readany()
                response.close()
                return
            raw = await response.read()
            if response.status == 200 and (not stream_it or raw.endswith(b"data: [DONE]\n\n")):
                self.whole.append(response.headers["x-shipjury-request-id"])


@dataclass
class Scene:
    """Gateway and worker as processes, over parts that can be killed too."""

    settings: dict[str, str]
    database_url: str
    simulator: str
    log: Path
    running: dict[str, Running] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """How many requests have been answered, well or not."""
        return sum(client.asked for client in self.clients)

    async def begin(self, clients: int) -> list[asyncio.Task[None]]:
        """Start both processes and the clients."""
        async with aiohttp.ClientSession() as session, session.post(f"{self.simulator}/_sim/reset"):
            pass
        for role in ("api", "worker"):
            self.running[role] = await start(role, self.settings, self.log)
        self.clients = [Client(lambda: self.running["api"].url, seed) for seed in range(clients)]
        return [asyncio.create_task(client.run()) for client in self.clients]

    async def kill(self, role: str, *, after: float) -> None:
        """kill -9 once this share of the requests has been answered; then start it again."""
        await wait_until(lambda: self.asked >= after * REQUESTS, seconds=90)
        await self.running[role].kill()
        self.running[role] = await start(role, self.settings, self.log)

    async def check(self, redis_url: str) -> dict[str, int]:
        """Wait until everything has ended, and hold the ledger against the providers' account."""
        await settled(redis_url)
        async with aiohttp.ClientSession() as session, session.get(f"{self.simulator}/_sim/account") as response:
            lines = {line["attempt_id"]: line for line in await response.json()}
        engine = create_async_engine(self.database_url)
        async with engine.connect() as connection:
            figures = await hold(connection, lines, [request for client in self.clients for request in client.whole])
        await engine.dispose()
        structlog.get_logger("kills").info("the ledger holds", **figures)
        return figures


@pytest_asyncio.fixture
async def scene(make_database: Any, kafka: str, simulator: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene without Redis: the test brings its own."""
    folder = tmp_path / "providers"
    folder.mkdir()
    write_providers(folder, simulator)
    database_url = await make_database("inference_gateway")
    settings = environment(
        {
            "database_url": database_url,
            "kafka_bootstrap_servers": kafka,
            "operator_key": "operators",
            "providers_dir": folder,
            "shipped_providers": False,
            "bootstrap_key": KEY,
            "instance_dead_seconds": 3,
            "heartbeat_seconds": 0.5,
            "admission_seconds": 1,
            "hedge_share": 1,
            "journal_dir": tmp_path / "journal",
        }
    ) | {f"{name.upper()}_KEY": f"{name}-secret" for name in PROVIDERS}
    made = Scene(settings, database_url, simulator, tmp_path / "log")
    yield made
    for one in made.running.values():
        await one.kill()


@pytest.mark.timeout(240)
async def test_no_attempt_is_missing_or_twice_though_gateway_and_ledger_worker_are_killed(
    scene: Scene, redis_url: str
) -> None:
    scene.settings["GATEWAY_REDIS_URL"] = redis_url
    asking = await scene.begin(CLIENTS)
    for role, share in (("worker", 0.2), ("api", 0.4), ("worker", 0.6), ("api", 0.8)):
        await scene.kill(role, after=share)
    await asyncio.gather(*asking)
    figures = await scene.check(redis_url)
    assert figures["certain"] >= 300
    assert figures["of_killed_gateways"] >= 1


@pytest.mark.timeout(240)
async def test_no_attempt_is_missing_or_twice_though_redis_is_killed(scene: Scene, tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis")
    redis.start()
    try:
        scene.settings["GATEWAY_REDIS_URL"] = redis.url
        asking = await scene.begin(CLIENTS)
        for share in (0.3, 0.6):
            await wait_until(lambda share=share: scene.asked >= share * REQUESTS, seconds=90)
            assert redis.child is not None
            redis.child.process.kill()
            await asyncio.to_thread(redis.child.process.wait)
            await asyncio.to_thread(redis.start)
        await asyncio.gather(*asking)
        figures = await scene.check(redis.url)
        assert figures["certain"] >= 300
    finally:
        redis.stop()
