"""The database as delivery sees it: engines, which errors pass by themselves, and being woken by NOTIFY."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from .back_off import BackOff, pause
from .settings import ServiceSettings

_log = structlog.get_logger("shipjury.delivery")

# SQLSTATE classes and codes of a server that is away, full, restarting, or that asks to try again.
_TRANSIENT_CLASSES = {"08", "40", "53", "57", "58"}
_TRANSIENT_CODES = {"55P03"}


def create_engine(settings: ServiceSettings, *, size: int = 5, overflow: int = 5) -> AsyncEngine:
    """An engine for a service: a small pool, since many processes share one server."""
    return create_async_engine(
        settings.database_url.get_secret_value(),
        pool_size=size,
        max_overflow=overflow,
        pool_pre_ping=True,  # else a restarted database costs one error for each pooled connection
        connect_args={"server_settings": {"application_name": f"shipjury {settings.service}"}},
    )


def is_transient(error: BaseException) -> bool:
    """Whether an error says that database or network is away or asks for another try, not that the work is wrong."""
    if isinstance(error, sa.exc.DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if state:
            return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_CODES
        # Without a state it is the driver's own: a lost connection, or a misuse of one. Wrong data has a state.
        return error.connection_invalidated or "connection" in str(error.orig)
    if isinstance(error, sa.exc.TimeoutError):  # the pool is empty
        return True
    return isinstance(error, OSError | TimeoutError)


@contextlib.asynccontextmanager
async def dedicated(engine: AsyncEngine, name: str) -> AsyncIterator[AsyncConnection]:
    """A connection of its own, closed at the end: for session locks and listeners, which must not enter a pool.

    Every statement commits by itself. A server that has gone away without a word is noticed within half a minute,
    and the server notices the same of us (keepalives), so that locks are freed.
    """
    own = create_async_engine(
        engine.url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={
            "command_timeout": 30,
            "timeout": 10,
            "server_settings": {
                "application_name": name,
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            },
        },
    )
    try:
        async with own.connect() as connection:
            yield connection
    finally:
        await own.dispose()


class Wakeups:
    """Sets an event for each notified channel; while it cannot listen, its users live by their polls."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._events: dict[str, list[asyncio.Event]] = {}

    def event(self, channel: str) -> asyncio.Event:
        """An event for one user, who clears it; to be asked for before :meth:`run`."""
        event = asyncio.Event()
        self._events.setdefault(channel, []).append(event)
        return event

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until ``stop``; reconnect with back-off."""
        back_off = BackOff(0.2, 10)
        while self._events and not stop.is_set():
            try:
                await self._listen(stop, back_off)
            except Exception as error:  # noqa: BLE001 - whatever it was, polls go on and so does the next try
                _log.warning("notifications are lost, polling", error=type(error).__name__)
            await pause(stop, back_off.next())

    async def _listen(self, stop: asyncio.Event, back_off: BackOff) -> None:
        async with dedicated(self._engine, "shipjury notifications") as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            ended = asyncio.Event()
            driver.add_termination_listener(lambda _: ended.set())
            for channel in self._events:
                await driver.add_listener(channel, self._woken)
            back_off.reset()
            for channel in self._events:
                self._wake(channel)  # something may have come before we listened
            await first(stop, ended)

    def _woken(self, _connection: Any, _pid: int, channel: str, _payload: str) -> None:
        self._wake(channel)

    def _wake(self, channel: str) -> None:
        for event in self._events[channel]:
            event.set()


async def first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def answers(engine: AsyncEngine, seconds: float = 3.0) -> bool:
    """Whether the database answers a trivial question within that time."""
    try:
        async with asyncio.timeout(seconds), engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
    except (sa.exc.SQLAlchemyError, OSError, TimeoutError):
        return False
    return True
