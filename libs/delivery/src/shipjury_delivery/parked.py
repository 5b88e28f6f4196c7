"""Parked outbox rows: what the broker refuses, for an operator to see, to let go again, or to give up."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .outbox import CHANNEL
from .tables import outbox


@dataclass(frozen=True)
class Parked:
    """A parked row. ``waiting`` counts the rows behind it, under the same key. ``bytes`` is its value's size."""

    id: int
    topic: str
    key: str
    event_id: str
    bytes: int
    parked_at: datetime
    error: str
    waiting: int


async def parked(connection: AsyncConnection) -> list[Parked]:
    """What is parked, oldest first."""
    behind = outbox.alias()
    waiting = (
        sa.select(sa.func.count())
        .where(behind.c.topic == outbox.c.topic, behind.c.key == outbox.c.key, behind.c.id > outbox.c.id)
        .where(behind.c.sent_at.is_(None))
        .scalar_subquery()
    )
    rows = await connection.execute(
        sa.select(outbox, sa.func.octet_length(outbox.c.value).label("bytes"), waiting.label("waiting"))
        .where(outbox.c.parked_at.is_not(None), outbox.c.sent_at.is_(None))
        .order_by(outbox.c.id)
    )
    return [
        Parked(row.id, row.topic, row.key, row.event_id, row.bytes, row.parked_at, row.error, row.waiting)
        for row in rows
    ]


async def release(connection: AsyncConnection, row_id: int) -> bool:
    """Let a row be tried again, once what stood in its way is gone. Returns whether it was parked."""
    done = await connection.execute(
        sa.update(outbox)
        .where(outbox.c.id == row_id, outbox.c.parked_at.is_not(None), outbox.c.sent_at.is_(None))
        .values(parked_at=None, error=None)
    )
    await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))
    return done.rowcount > 0


async def discard(connection: AsyncConnection, row_id: int) -> bool:
    """Give a row up for good: its event is never sent, those behind it are. Returns whether it was parked."""
    done = await connection.execute(
        sa.delete(outbox).where(outbox.c.id == row_id, outbox.c.parked_at.is_not(None), outbox.c.sent_at.is_(None))
    )
    await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))
    return done.rowcount > 0
