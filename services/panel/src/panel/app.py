"""Composition root of the panel: the only place that builds settings, engines and clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery import Api, JobHandler, Subscription, Worker
from shipjury_delivery.database import create_engine
from shipjury_schemas import ToolPublished

from .api import public_app
from .gateway import Gateway, connect
from .jobs.judge_tool import JudgeTool
from .jobs.judges import Judges
from .jobs.sit_exam import SitExam
from .library import Library, library
from .on_tool_published import on_tool_published
from .operator_api import operator_app
from .settings import Settings
from .store.tools import EXAM, JUDGE

_stubborn = partial(JobHandler, max_attempts=500, back_off=timedelta(seconds=2), longest_back_off=timedelta(minutes=1))
"""Goes on for eight hours while the gateway is away, and is back within a minute of its return."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Bench:
    """The panel's working parts on one database and one gateway."""

    engine: AsyncEngine
    gateway: Gateway
    judges: Judges
    judge_tool: JudgeTool
    sit_exam: SitExam


@asynccontextmanager
async def bench(settings: Settings, shelf: Library | None = None) -> AsyncIterator[Bench]:
    """Build the working parts; for the worker and for operators' commands that read."""
    shelf = shelf or library()
    engine = create_engine(settings)
    try:
        async with connect(
            settings.gateway_url,
            settings.gateway_key.get_secret_value(),
            settings.model,
            deadline=settings.call_deadline,
            attempts=settings.call_attempts,
            concurrency=settings.call_concurrency,
        ) as gateway:
            judges = Judges(engine, gateway, shelf, settings, now)
            yield Bench(
                engine,
                gateway,
                judges,
                JudgeTool(engine, gateway, judges, shelf, settings, now),
                SitExam(engine, gateway, judges, shelf, now),
            )
    finally:
        await engine.dispose()


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Api]:
    """Readers' routes under ``/reviews`` and ``/comparisons``, operators' under ``/panel``."""
    engine = create_engine(settings)
    try:
        yield Api(public=public_app(engine, now), operator=operator_app(engine, now))
    finally:
        await engine.dispose()


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """Keeps tools, judges them, sits exams."""
    async with bench(settings) as parts:
        yield Worker(
            service="panel",
            engine=parts.engine,
            settings=settings,
            subscriptions=(Subscription("panel.on_tool_published", ToolPublished, on_tool_published),),
            jobs=(
                _stubborn(JUDGE, parts.judge_tool, concurrency=settings.judge_concurrency),
                _stubborn(EXAM, parts.sit_exam),
            ),
            background=(parts.judges.watch,),
        )
