"""Postgres and Kafka away: requests go on, the ledger catches up, and every row has its event."""

import asyncio
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shipjury_delivery.migrations import upgrade
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.testing import wait_until

from .conftest import KEY
from .processes import Broker, environment
from .processes import start as start_process
from .truth import hold, published, settled

AWAY_S = 20.0


@pytest.mark.timeout(240)
async def test_without_postgres_and_kafka_for_twenty_seconds_requests_go_on_and_nothing_is_lost(
    start: Any, redis_url: str, tmp_path: Path
) -> None:
    postgres, broker = Postgres(tmp_path / "postgres", durable=False), Broker(tmp_path / "kafka")
    postgres.start()
    broker.start()
    admin = await asyncpg.connect(postgres.dsn())
    await admin.execute("CREATE DATABASE gateway")
    await admin.close()
    await upgrade("inference_gateway", postgres.url("gateway"))
    gateway = await start(database_url=postgres.url("gateway"))
    settings = {
        "database_url": postgres.url("gateway"),
        "redis_url": redis_url,
        "kafka_bootstrap_servers": broker.address,
        "operator_key": "operators",
        "bootstrap_key": KEY,
    }
    worker = await start_process("worker", environment(settings), tmp_path / "log")
    whole: list[str] = []

    async def ask() -> None:
        status, _, headers = await gateway.chat("words=3", stream=bool(len(whole) % 2))
        assert status == 200
        whole.append(headers["x-shipjury-request-id"])

    try:
        await ask()
        await settled(redis_url, seconds=100)
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(broker.stop)
        away_until = time.monotonic() + AWAY_S

        async def long_enough() -> bool:
            await ask()
            return time.monotonic() >= away_until

        await wait_until(long_enough, seconds=6 * AWAY_S)
        postgres.start()
        broker.start()
        await settled(redis_url)
        async with gateway.engine.connect() as connection:
            lines = {line["attempt_id"]: line for line in await gateway.account()}
            figures = await hold(connection, lines, whole)
        assert figures["rows"] == figures["certain"] == len(whole) > 20
        assert await published(broker.address, len(whole)) == len(whole)
    finally:
        await worker.stop()
        broker.stop()
        await asyncio.to_thread(postgres.stop)
