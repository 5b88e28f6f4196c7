"""The worker's loops: settled entries into the ledger, and dead instances' open attempts into settled entries.

An entry leaves Redis only after the transaction that holds its row and its event is committed. A worker that dies in
between writes nothing twice: rows are unique by attempt.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from . import metrics
from .store.admission import Reaper, RedisAway, Streams
from .store.ledger import Entry, write
from .store.rebuild import open_shards
from .store.resp import RedisPipe

BATCH = 500
_PACE_S = 0.1
"""Between two batches that are not full: a transaction for each entry would cost more than the requests do."""
_AWAY_S = 1.0
_log = structlog.get_logger("inference_gateway.ledger")
_AWAY = (RedisAway, OSError, TimeoutError, sa.exc.DBAPIError, sa.exc.InterfaceError)


async def take(streams: Streams, engine: AsyncEngine) -> int:
    """Take one batch of settled entries into the ledger. Returns how many entries were taken from Redis."""
    found = await streams.read(BATCH)
    if not found:
        return 0
    entries = [Entry.decode(facts, outcome) for _, _, facts, outcome in found]
    async with engine.begin() as connection:
        await write(connection, entries, now=datetime.now(UTC))
    metrics.LEDGERED.inc(len(found))
    await streams.remove((shard, entry_id) for shard, entry_id, _, _ in found)
    return len(found)


async def keep_ledger(streams: Streams, engine: AsyncEngine, stop: asyncio.Event) -> None:
    """Take entries until ``stop``, then what is left. Postgres or Redis away: wait and go on."""

    async def once() -> float:
        taken = await take(streams, engine)
        metrics.WAITING.set(await streams.length() if taken >= BATCH else 0)
        return 0.0 if taken >= BATCH else _PACE_S

    await repeat(once, stop)
    try:
        while await take(streams, engine):
            pass
    except _AWAY as error:
        _log.warning("entries are left for the next worker", error=repr(error))


async def keep_reaping(reaper: Reaper, every_s: float, stop: asyncio.Event) -> None:
    """Give up the open attempts of dead instances, until ``stop``."""

    async def once() -> float:
        lost = await reaper.reap()
        if lost:
            metrics.LOST.inc(lost)
            _log.warning("attempts of a dead instance are uncertain now", attempts=lost)
        return every_s

    await repeat(once, stop)


async def keep_open(pipe: RedisPipe, engine: AsyncEngine, restoring_s: float, stop: asyncio.Event) -> None:
    """Rebuild budgets whenever Redis has lost them, until ``stop``."""

    async def once() -> float:
        await open_shards(pipe, engine, now=datetime.now(UTC), restoring_s=restoring_s)
        return 1.0

    await repeat(once, stop)


async def repeat(once: Callable[[], Awaitable[float]], stop: asyncio.Event) -> None:
    """Call ``once`` until ``stop``; it says how long to wait (s). What it needs being away is waited out."""
    while not stop.is_set():
        try:
            wait = await once()
        except _AWAY as error:
            _log.warning("waits", error=repr(error)[:300])
            wait = _AWAY_S
        if wait:
            try:
                async with asyncio.timeout(wait):
                    await stop.wait()
            except TimeoutError:
                pass
