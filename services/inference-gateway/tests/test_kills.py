"""The ledger is true though gateways and the ledger worker are killed in the middle of their work."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from inference_gateway.store.admission import SHARDS, stream
from inference_gateway.store.resp import RedisPipe
from inference_gateway.store.tables import ledger
from shipjury_standalone.testing import wait_until

from .conftest import KEY, PROVIDERS, write_providers
from .processes import Running, environment, start

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


@pytest.mark.timeout(180)
async def test_no_attempt_is_missing_or_twice_though_gateway_and_ledger_worker_are_killed(
    make_database: Any, redis_url: str, kafka: str, simulator: str, tmp_path: Path
) -> None:
    database_url = await make_database("inference_gateway")
    folder = tmp_path / "providers"
    folder.mkdir()
    write_providers(folder, simulator)
    settings = environment(
        {
            "database_url": database_url,
            "redis_url": redis_url,
            "kafka_bootstrap_servers": kafka,
            "operator_key": "operators",
            "providers_dir": folder,
            "shipped_providers": False,
            "bootstrap_key": KEY,
            "instance_dead_seconds": 3,
            "heartbeat_seconds": 0.5,
        }
    ) | {f"{name.upper()}_KEY": f"{name}-secret" for name in PROVIDERS}
    async with aiohttp.ClientSession() as session, session.post(f"{simulator}/_sim/reset"):
        pass
    log = tmp_path / "log"
    running: dict[str, Running] = {
        "api": await start("api", settings, log),
        "worker": await start("worker", settings, log),
    }
    clients = [Client(lambda: running["api"].url, seed) for seed in range(CLIENTS)]
    asking = [asyncio.create_task(client.run()) for client in clients]
    try:
        for role, share in (("worker", 0.2), ("api", 0.35), ("worker", 0.5), ("api", 0.65), ("worker", 0.8)):
            await wait_until(
                lambda share=share: sum(client.asked for client in clients) >= share * REQUESTS, seconds=60
            )
            await running[role].kill()
            running[role] = await start(role, settings, log)
        await asyncio.gather(*asking)
        await settled(redis_url)
        async with aiohttp.ClientSession() as session, session.get(f"{simulator}/_sim/account") as response:
            lines = {line["attempt_id"]: line for line in await response.json()}
        engine = create_async_engine(database_url)
        async with engine.connect() as connection:
            await hold(connection, lines, [request for client in clients for request in client.whole])
        await engine.dispose()
    finally:
        for task in asking:
            task.cancel()
        for one in running.values():
            await one.kill()


async def settled(redis_url: str) -> None:
    """Wait until nothing is open and every entry is in the ledger."""
    pipe = RedisPipe(redis_url)

    async def empty() -> bool:
        waiting = sum([await pipe.call("XLEN", stream(shard)) for shard in range(SHARDS)])  # type: ignore[misc]
        keys = await pipe.call("KEYS", "sj:*:open:*")
        return waiting == 0 and keys == []

    await wait_until(empty, seconds=40)
    await pipe.close()


async def hold(connection: AsyncConnection, lines: dict[str, dict[str, Any]], whole: list[str]) -> None:
    """Hold the ledger against the providers' own account."""
    rows = [dict(row) for row in (await connection.execute(sa.select(ledger).order_by(ledger.c.id))).mappings()]
    effective: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["kind"] != "reversal":
            assert row["kind"] == "correction" or row["attempt_id"] not in effective, "an attempt stands twice"
            effective[row["attempt_id"]] = row
    assert not set(lines) - set(effective), "attempts are missing in the ledger"
    certain = {attempt: row for attempt, row in effective.items() if row["outcome"] != "uncertain"}
    billed = {attempt: lines[attempt]["nano_usd"] if attempt in lines else 0 for attempt in certain}
    assert {attempt: row["cost_nano_usd"] for attempt, row in certain.items()} == billed
    for attempt, row in effective.items():
        if row["outcome"] == "uncertain":
            assert row["cost_nano_usd"] == row["bound_nano_usd"]
            assert row["cost_nano_usd"] >= lines.get(attempt, {"nano_usd": 0})["nano_usd"]
    ended_well = {
        row["request_id"] for row in effective.values() if row["outcome"] == "ok" or row["reason"] == "usage_missing"
    }
    assert not set(whole) - ended_well, "who saw the end of an answer may rely on its bill"
    events = await connection.scalar(sa.text("SELECT count(*) FROM outbox WHERE topic = 'inference.usage.v1'"))
    assert events == len(rows), "every row has its event, once"
    lost = sum(1 for row in effective.values() if row["reason"] == "instance_lost")
    structlog.get_logger("kills").info(
        "the ledger holds",
        attempts=len(effective),
        certain=len(certain),
        certain_nano_usd=sum(billed.values()),
        uncertain=len(effective) - len(certain),
        of_killed_gateways=lost,
        answers_seen_whole=len(whole),
    )
    assert len(certain) >= 300
    assert lost >= 1
