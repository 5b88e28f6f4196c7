"""Builds the votes service of its settings; the only place that does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_delivery import Api, Subscription, Worker
from shipjury_delivery.database import create_engine
from shipjury_schemas import ToolPublished, VoteCast

from . import on_tool_published, on_vote_cast
from .api import Parts, public_app
from .api.live import Live
from .api.voters import Voters
from .jobs import keep_watch
from .operator_api import OperatorParts, operator_app
from .settings import Settings
from .store.admission import Admission
from .store.secrets import COOKIES, NETWORKS, PSEUDONYMS, DailySalt, keep_key
from .store.writer import Writer


def now() -> datetime:
    """The time (UTC)."""
    return datetime.now(UTC)


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The API, with its database, Redis and writer. Requests in flight are still written when the block ends."""
    async with AsyncExitStack() as stack:
        engine = create_engine(settings, size=settings.pool_size)
        stack.push_async_callback(engine.dispose)
        async with engine.begin() as connection:
            voters = await _voters(connection, settings)
        admission = Admission(
            settings.redis_url.get_secret_value() if settings.redis_url else None,
            settings.limits,
            timeout=settings.admission_timeout.total_seconds(),
        )
        stack.push_async_callback(admission.close)
        writer = await stack.enter_async_context(_writer(engine, settings).running())
        live = Live(
            engine,
            interval=settings.stream_interval.total_seconds(),
            heartbeat=settings.stream_heartbeat.total_seconds(),
            most=settings.stream_clients,
        )
        parts = Parts(
            engine=engine,
            writer=writer,
            admission=admission,
            voters=voters,
            salt=DailySalt(engine),
            live=live,
            limits=settings.limits,
            stream_tools=settings.stream_tools,
            clock=now,
        )
        yield Api(public=public_app(parts), operator=operator_app(OperatorParts(engine, now)), background=(live.run,))


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """The worker: folds votes into tallies, keeps the tools, relays the outbox, watches over the quarantine."""
    engine = create_engine(settings)
    try:
        yield Worker(
            service="votes",
            engine=engine,
            settings=settings,
            subscriptions=(
                Subscription(
                    group=on_tool_published.GROUP,
                    contract=ToolPublished,
                    handle=on_tool_published.on_tool_published,
                ),
                Subscription(
                    group=on_vote_cast.GROUP,
                    contract=VoteCast,
                    handle=partial(on_vote_cast.on_vote_cast, clock=now),
                ),
            ),
            background=(partial(keep_watch, engine, settings.limits, settings.check_interval, now),),
        )
    finally:
        await engine.dispose()


def _writer(engine: AsyncEngine, settings: Settings) -> Writer:
    return Writer(
        engine,
        largest=settings.batch_largest,
        most_waiting=settings.most_waiting,
        linger=settings.batch_linger.total_seconds(),
        patience=settings.patience.total_seconds(),
    )


async def _voters(connection: AsyncConnection, settings: Settings) -> Voters:
    def given(secret: object) -> bytes | None:
        return secret.get_secret_value().encode() if secret else None  # type: ignore[attr-defined]

    drawn_cookie_key = None if settings.cookie_keys else await keep_key(connection, COOKIES, None)
    return Voters(
        cookie_keys=[key.get_secret_value().encode() for key in settings.cookie_keys] or [drawn_cookie_key or b""],
        pseudonym_key=await keep_key(connection, PSEUDONYMS, given(settings.pseudonym_key), permanent=True),
        network_key=await keep_key(connection, NETWORKS, given(settings.network_key)),
        proxies=settings.trusted_proxies,
        account_header=settings.account_header,
        cookie_seconds=settings.cookie_days * 24 * 3600,
    )
