"""Composition root of the catalog: the only place that builds engines and puts the parts together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from shipjury_delivery import Api, Worker
from shipjury_delivery.database import create_engine
from shipjury_delivery.health import nothing_here

from .operator_api import operator_app
from .settings import Settings


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The site for readers, publishing for operators."""
    engine = create_engine(settings)
    try:
        yield Api(public=nothing_here, operator=operator_app(engine, _now))
    finally:
        await engine.dispose()


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """The outbox relay and every subscriber."""
    engine = create_engine(settings)
    try:
        yield Worker(service="catalog", engine=engine, settings=settings)
    finally:
        await engine.dispose()
