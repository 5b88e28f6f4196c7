"""What the panel's service tests share: a database, a stand-in gateway, and the working parts on both."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from panel.app import Bench, bench
from panel.contracts import store_exam
from panel.domain.exam import ExamRecord, JudgeIdentity, Probe, exam_id
from panel.domain.scoring import Edges
from panel.domain.statistics import Sigmoid
from panel.domain.tone import Constants, Scale
from panel.library import library
from panel.on_tool_published import on_tool_published
from panel.settings import Settings
from panel.store import exams, tools
from panel.store.tools import EXAM, JUDGE
from shipjury_delivery import JobHandler, tables
from shipjury_delivery.job_runner import JobRunner
from shipjury_delivery.testing import until
from shipjury_schemas import Event, ToolPublished

from .fake_gateway import KEY, MODEL, FakeGateway, fake_gateway

MakeDatabase = Callable[[str], Awaitable[str]]


def settings_for(url: str, gateway_url: str) -> Settings:
    """Settings of a panel on a test's database and gateway."""
    return Settings(
        database_url=SecretStr(url),
        kafka_bootstrap_servers="127.0.0.1:9",
        operator_key=SecretStr("operators"),
        gateway_url=gateway_url,
        gateway_key=SecretStr(KEY),
        call_deadline=timedelta(seconds=2),
        call_attempts=2,
        exam_patience=timedelta(seconds=30),
    )


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as started:
        yield started


@pytest_asyncio.fixture
async def settings(make_database: MakeDatabase, fake: FakeGateway) -> Settings:
    return settings_for(await make_database("panel"), fake.url)


@pytest_asyncio.fixture
async def panel(settings: Settings) -> AsyncIterator[Bench]:
    async with bench(settings) as parts:
        yield parts


def a_record(fake: FakeGateway, *, passes: bool = True, correlation: float | None = 0.96) -> ExamRecord:
    """An exam of the stand-in with constants that are easy to reckon with: a test's own, not measured."""
    judge = JudgeIdentity(MODEL, fake.weights, f"{fake.engine}; kv f16")
    names = ("held_out_auc", "border_auc", "flips_shuffled", "flips_dropped", "flips_reworded")
    frames = library().frames_hash
    return ExamRecord(
        exam_id=exam_id(judge, frames),
        judge=judge,
        frames_hash=frames,
        level="tone_reader" if passes else "refused",
        taken_at=datetime(2026, 11, 20, tzinfo=UTC),
        probes=tuple(Probe(name, name, 0.9, None, 0.8, passes) for name in names),
        constants=Constants(tuple(Scale(0.0, 1.0) for _ in range(3)), Sigmoid(1.0, 0.0)),
        edges=Edges(skip_below=47.0, ship_at=60.0),
        correlation=correlation,
        facts={},
    )


async def sat(panel: Bench, record: ExamRecord) -> None:
    """Keep a record as if it had been sat here."""
    async with panel.engine.begin() as connection:
        document = store_exam(record).model_dump(mode="json")
        await exams.keep(connection, document, record.taken_at, shipped=False)


async def published(connection: AsyncConnection, *tools: ToolPublished) -> None:
    """The catalog published these."""
    await on_tool_published(connection, [Event(data=tool, source="/shipjury/catalog") for tool in tools])


@asynccontextmanager
async def working(panel: Bench) -> AsyncIterator[None]:
    """A worker does the panel's jobs meanwhile."""
    stop = asyncio.Event()
    runners = [
        JobRunner("panel", panel.engine, handler, asyncio.Event(), poll_seconds=0.02, drain_seconds=0.1)
        for handler in (
            JobHandler(JUDGE, panel.judge_tool, back_off=timedelta(milliseconds=20)),
            JobHandler(EXAM, panel.sit_exam, back_off=timedelta(milliseconds=20)),
        )
    ]
    tasks = [asyncio.create_task(runner.run(stop)) for runner in runners]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def judged(panel: Bench) -> None:
    """Wait until no judging job is left to do."""

    async def through() -> bool:
        async with panel.engine.connect() as connection:
            left = await tools.queue(connection)
        return not (left.get("ready") or left.get("running"))

    async with working(panel):
        await until(through, 100)


async def outbox(panel: Bench, topic: str) -> list[dict[str, Any]]:
    """The events of a topic that were written, in order."""
    query = sa.select(tables.outbox.c.value).where(tables.outbox.c.topic == topic).order_by(tables.outbox.c.id)
    async with panel.engine.connect() as connection:
        return [json.loads(value) for value in await connection.scalars(query)]
