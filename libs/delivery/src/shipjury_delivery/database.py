"""The database as delivery sees it: engines, which errors pass by themselves, and being woken by NOTIFY."""

import asyncio
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
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
        connect_args={"server_settings": {"application_name": f"shipjury {settings.service}"}},
    )


def is_transient(error: BaseException) -> bool:
    """Whether an error says that database or network is away or asks for another try, not that the work is wrong."""
    if isinstance(error, sa.exc.DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if state:
            return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_CODES
        # asyncpg's InterfaceError is both: a lost connection, and an argument of the wrong type
        return error.connection_invalidated or "connection" in str(error.orig).lower()
    if isinstance(error, sa.exc.TimeoutError):  # the pool is empty
        return True
    return isinstance(error, OSError | TimeoutError)


class Wakeups:
    """Sets an event for each notified channel; while it cannot listen, its users live by their polls."""

    def __init__(self, engine: AsyncEngine, channels: Iterable[str]) -> None:
        self._engine = engine
        self._events = {channel: asyncio.Event() for channel in channels}

    def __getitem__(self, channel: str) -> asyncio.Event:
        return self._events[channel]

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until ``stop``; reconnect with back-off."""
        back_off = BackOff(0.2, 10)
        while not stop.is_set():
            try:
                await self._listen(stop, back_off)
            except Exception as error:  # noqa: BLE001 - whatever it was, polls go on and so does the next try
                _log.warning("notifications are lost, polling", error=type(error).__name__)
            await pause(stop, back_off.next())

    async def _listen(self, stop: asyncio.Event, back_off: BackOff) -> None:
        # A connection of its own: a listener must not go back into the pool.
        engine = create_async_engine(self._engine.url, poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                ended = asyncio.Event()
                driver.add_termination_listener(lambda _: ended.set())
                for channel in self._events:
                    await driver.add_listener(channel, self._woken)
                back_off.reset()
                for event in self._events.values():
                    event.set()
                await first(stop, ended)
        finally:
            await engine.dispose()

    def _woken(self, _connection: Any, _pid: int, channel: str, _payload: str) -> None:
        self._events[channel].set()


async def first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
