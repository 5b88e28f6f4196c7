"""The worker's watch: unchecked votes are checked, bursts are held whole, old salts are destroyed."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.back_off import pause

from .domain import Limits
from .store.quarantine import check_unchecked, hold_whole_bursts
from .store.secrets import destroy_salts

_log = structlog.get_logger("votes.watch")


async def keep_watch(
    engine: AsyncEngine, limits: Limits, interval: timedelta, clock: Callable[[], datetime], stop: asyncio.Event
) -> None:
    """Watch until ``stop``. Any number of workers may: rows are locked in order, and a second look finds nothing."""
    while not await pause(stop, interval.total_seconds()):
        await watch_once(engine, limits, clock())


async def watch_once(engine: AsyncEngine, limits: Limits, now: datetime) -> None:
    """One look at the quarantine, and the end of the salts of days gone by."""
    checked = await check_unchecked(engine, limits, now)
    held = await hold_whole_bursts(engine, limits, now)
    async with engine.begin() as connection:
        destroyed = await destroy_salts(connection, now.date())
    if checked or held or destroyed:
        _log.info("watched over the votes", checked=checked, held=held, salts_destroyed=destroyed)
