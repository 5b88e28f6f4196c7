"""Composition root of the catalog: the only place that builds engines and puts the parts together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery import Api, Subscription, Worker
from shipjury_delivery.database import create_engine
from shipjury_schemas import (
    ComparisonIssued,
    DigestSent,
    EdgeBenchmarked,
    ReviewerRated,
    TallyChanged,
    VerdictIssued,
)

from .api.public import public_app
from .api.site import Site
from .on_comparison_issued import on_comparison_issued
from .on_digest_sent import on_digest_sent
from .on_edge_benchmarked import on_edge_benchmarked
from .on_reviewer_rated import on_reviewer_rated
from .on_tally_changed import on_tally_changed
from .on_verdict_issued import on_verdict_issued
from .operator_api import operator_app
from .settings import Settings
from .site.render import Renderer
from .store import bookmarks

SUBSCRIPTIONS = (
    Subscription("catalog.on_verdict_issued", VerdictIssued, on_verdict_issued),
    Subscription("catalog.on_comparison_issued", ComparisonIssued, on_comparison_issued),
    Subscription("catalog.on_tally_changed", TallyChanged, on_tally_changed),
    Subscription("catalog.on_reviewer_rated", ReviewerRated, on_reviewer_rated),
    Subscription("catalog.on_digest_sent", DigestSent, on_digest_sent),
    Subscription("catalog.on_edge_benchmarked", EdgeBenchmarked, on_edge_benchmarked),
)


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The site for readers, publishing for operators."""
    engine = create_engine(settings)
    site = Site(
        engine=engine,
        renderer=Renderer(minimum_votes=settings.minimum_votes, reload=settings.template_reload),
        clock=_now,
        site_url=settings.site_url,
        minimum_votes=settings.minimum_votes,
        page_cache=settings.page_cache,
    )
    try:
        yield Api(public=public_app(site), operator=operator_app(engine, _now))
    finally:
        await engine.dispose()


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """The outbox relay, every subscriber, and a daily look for bookmarks whose cookie has run out."""
    engine = create_engine(settings)

    async def forget_old_bookmarks(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await _forget(engine)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=24 * 3600)

    try:
        yield Worker(
            service="catalog",
            engine=engine,
            settings=settings,
            subscriptions=SUBSCRIPTIONS,
            background=(forget_old_bookmarks,),
        )
    finally:
        await engine.dispose()


async def _forget(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await bookmarks.forget_old(connection, now=_now())
