"""Housekeeping of delivery's tables: what is old goes, in small bites; what waits is counted for the metrics."""

import asyncio
from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .back_off import pause
from .metrics import JOBS, OUTBOX_AGE, OUTBOX_PARKED, OUTBOX_UNSENT
from .settings import ServiceSettings

_log = structlog.get_logger("shipjury.delivery")

_BITE = 5000

_OLD = {
    "outbox": "SELECT id FROM outbox WHERE sent_at < clock_timestamp() - CAST(:age AS interval) LIMIT :bite",
    "jobs": (
        "SELECT id FROM jobs WHERE state = 'done' AND finished_at < clock_timestamp() - CAST(:age AS interval) "
        "LIMIT :bite"
    ),
}
_OLD_INBOX = (
    "DELETE FROM inbox WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM inbox WHERE applied_at < clock_timestamp() - CAST(:age AS interval) LIMIT :bite))"
)


async def prune(engine: AsyncEngine, settings: ServiceSettings) -> dict[str, int]:
    """Delete sent outbox rows, inbox rows and finished jobs past their retention. Returns how many of each."""
    return {
        "outbox": await _prune(engine, f"DELETE FROM outbox WHERE id IN ({_OLD['outbox']})", settings.outbox_retention),  # noqa: S608
        "inbox": await _prune(engine, _OLD_INBOX, settings.inbox_retention),
        "jobs": await _prune(engine, f"DELETE FROM jobs WHERE id IN ({_OLD['jobs']})", settings.job_retention),  # noqa: S608
    }


async def _prune(engine: AsyncEngine, statement: str, age: timedelta) -> int:
    pruned = 0
    while True:
        async with engine.begin() as connection:
            bite = (await connection.execute(sa.text(statement), {"age": age, "bite": _BITE})).rowcount
        pruned += bite
        if bite < _BITE:
            return pruned


async def measure(service: str, connection: AsyncConnection) -> None:
    """Set the gauges of outbox and jobs."""
    outbox = (
        await connection.execute(
            sa.text(
                "SELECT count(*) FILTER (WHERE parked_at IS NULL) AS unsent, count(parked_at) AS parked, "
                "coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS age "
                "FROM outbox WHERE sent_at IS NULL"
            )
        )
    ).one()
    OUTBOX_UNSENT.labels(service).set(outbox.unsent)
    OUTBOX_PARKED.labels(service).set(outbox.parked)
    OUTBOX_AGE.labels(service).set(float(outbox.age))
    for kind, state, number in await connection.execute(
        sa.text(
            "SELECT kinds.kind, states.state, count(jobs.id) FROM (SELECT DISTINCT kind FROM jobs) kinds "
            "CROSS JOIN (VALUES ('ready'), ('running'), ('done'), ('dead')) states(state) "
            "LEFT JOIN jobs ON jobs.kind = kinds.kind AND jobs.state = states.state GROUP BY 1, 2"
        )
    ):
        JOBS.labels(service, kind, state).set(number)


async def keep_house(
    service: str,
    engine: AsyncEngine,
    settings: ServiceSettings,
    stop: asyncio.Event,
    *,
    measure_seconds: float = 15.0,
    prune_every: int = 20,
) -> None:
    """Measure every quarter of a minute and prune every five minutes, until ``stop``."""
    turn = 0
    while not stop.is_set():
        try:
            async with engine.connect() as connection:
                await measure(service, connection)
            if turn % prune_every == 0:
                await prune(engine, settings)
        except Exception as error:  # noqa: BLE001 - the database is away; the next turn is soon
            _log.warning("housekeeping waits", service=service, error=type(error).__name__)
        turn += 1
        await pause(stop, measure_seconds)
