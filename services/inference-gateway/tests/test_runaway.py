"""A runaway loop in real time: gateway and worker as processes, a broker, a project with a week behind it."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import create_async_engine
from uuid_utils import uuid7

from inference_gateway.store import accounts
from inference_gateway.store.tables import ledger, watch
from shipjury_schemas import InferenceAnomaly, decode
from shipjury_standalone.testing import wait_until

from .conftest import KEY, PROVIDERS, write_providers
from .processes import environment, start
from .test_anomalies import row

TOPIC = "inference.anomalies.v1"
ORDINARY_S = 20
WITHIN_S = 60


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("pause_s", [0.0, 0.5], ids=["as fast as answers come", "two calls a second"])
async def test_a_loop_is_told_of_and_throttled_within_a_minute(
    make_database: Any,
    redis_url: str,
    kafka: str,
    simulator: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pause_s: float,
) -> None:
    for name in PROVIDERS:
        monkeypatch.setenv(f"{name.upper()}_KEY", f"{name}-secret")
    write_providers(tmp_path, simulator)
    url = await make_database("inference_gateway")
    settings = {"database_url": url, "redis_url": redis_url, "kafka_bootstrap_servers": kafka, "operator_key": "o"}
    settings |= {"shipped_providers": False, "bootstrap_key": KEY, "providers_dir": tmp_path}
    await a_week_of(url)
    variables = environment(settings)
    api, worker = await start("api", variables, tmp_path / "log"), await start("worker", variables, tmp_path / "log")
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    engine = create_async_engine(url)
    try:
        await wait_until(lambda: has_learned(engine), seconds=120)
        await wait_until(lambda: is_there(consumer), seconds=60)
        consumer.subscribe([TOPIC])
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
            for _ in range(ORDINARY_S):
                assert await call(session, api.url) == 200
                await asyncio.sleep(1)
            began = time.monotonic()
            throttled = asyncio.create_task(loop(session, api.url, began, pause_s))
            record = await asyncio.wait_for(consumer.getone(), WITHIN_S)
            told = time.monotonic() - began
            refused = await asyncio.wait_for(throttled, WITHIN_S)
        event = decode(InferenceAnomaly, record.value, record.headers).data
        print(f"\ntold after {told:.1f} s, first refusal after {refused:.1f} s: {event.model_dump_json()}")  # noqa: T201 - run by hand, for its figures
        assert (event.state, event.project, event.throttled) == ("opened", "panel", True)
        assert max(told, refused) <= WITHIN_S
    finally:
        await engine.dispose()
        await consumer.stop()
        await api.stop()
        await worker.stop()


async def a_week_of(url: str) -> None:
    """A project's ordinary week in the ledger: a request or two a minute by day."""
    chance, now = random.Random(1), datetime.now(UTC)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        project = await accounts.make_project(connection, "panel")
        await accounts.change_project(connection, project, throttle_requests_per_minute=10)
        at, rows = now - timedelta(days=7), []
        while at < now - timedelta(minutes=10):
            rows.append(row(project, at, 40_000))
            at += timedelta(seconds=chance.expovariate(1 / (40 if 8 <= at.hour < 18 else 300)))
        await connection.execute(sa.insert(ledger), rows)
    await engine.dispose()


async def has_learned(engine: Any) -> bool:
    async with engine.connect() as connection:
        return bool(await connection.scalar(sa.select(watch.c.ledger_id)))


async def is_there(consumer: AIOKafkaConsumer) -> bool:
    """Whether the worker has made the topic."""
    return TOPIC in await consumer.topics()


async def call(session: aiohttp.ClientSession, url: str) -> int:
    body = {"model": "sim-chat:alpha", "messages": [{"role": "user", "content": f"words=20 {uuid7()}"}]}
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        await response.read()
        return response.status


async def loop(session: aiohttp.ClientSession, url: str, began: float, pause_s: float) -> float:
    """Call again and again, from one client; returns after how many seconds it was refused."""
    while True:
        if await call(session, url) != 200:
            return time.monotonic() - began
        await asyncio.sleep(pause_s)
