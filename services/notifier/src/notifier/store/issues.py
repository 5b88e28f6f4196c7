"""Issues of the digest: composed once, then only read."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import publish
from shipjury_schemas import DigestSent, Event
from shipjury_schemas.digest_sent.v1 import DigestItem

from ..domain.digest import Change, Item, compose
from . import changes as changes_store

SOURCE = "/shipjury/notifier"
FIRST_PERIOD = timedelta(days=7)


@dataclass(frozen=True)
class Issue:
    """An issue as stored; nothing in it changes any more."""

    digest_id: str
    number: int
    title: str
    period_from: datetime
    period_to: datetime
    items: tuple[Item, ...]
    level_note: str
    composed_at: datetime
    traceparent: str | None


class NothingNew(Exception):
    """No verdict has changed since the last issue; there is nothing to send."""


async def covered_until(connection: AsyncConnection) -> datetime | None:
    """Where the newest issue's period ends; before the first issue, when the first change came. ``None``: neither."""
    covered: datetime | None = await connection.scalar(
        text("SELECT coalesce((SELECT max(period_to) FROM issues), (SELECT min(issued_at) FROM changes))")
    )
    return covered


async def issue(
    connection: AsyncConnection,
    period_to: datetime,
    now: datetime,
    *,
    title: Callable[[datetime], str],
    level_note: Callable[[Sequence[Change]], str],
    traceparent: str | None,
    wall_time: datetime | None = None,
) -> Issue | None:
    """Compose the issue of a period in the caller's transaction: items, deliveries and ``digests.sent.v1``.

    ``None`` where another replica has composed this period. Raises :class:`NothingNew`. With ``wall_time`` (naive)
    each subscriber gets it when the clock shows that time in their own time zone, or at once where it has passed.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('notifier.issue'))"))
    last = await connection.execute(text("SELECT number, period_to FROM issues ORDER BY number DESC LIMIT 1"))
    number, period_from = last.first() or (0, period_to - FIRST_PERIOD)
    if number and period_from >= period_to:
        return None
    number += 1
    digest_id = f"weekly-{period_to:%G-W%V}-{number}"
    pending = await changes_store.pending(connection, period_to)
    items = compose(pending, await changes_store.standings(connection))
    if not items:
        raise NothingNew
    new = Issue(
        digest_id=digest_id,
        number=number,
        title=title(period_to),
        period_from=period_from,
        period_to=period_to,
        items=items,
        level_note=level_note(pending),
        composed_at=now,
        traceparent=traceparent,
    )
    await _insert(connection, new)
    await _claim(connection, digest_id, pending)
    recipients = await _queue(connection, new, now, wall_time)
    await publish(connection, Event(data=_sent(new, recipients), source=SOURCE, time=now, traceparent=traceparent))
    await connection.execute(text("SELECT pg_notify('deliveries', '')"))
    return new


async def newest(connection: AsyncConnection) -> Issue | None:
    """The newest issue."""
    return await _one(connection, "ORDER BY number DESC LIMIT 1", {})


async def get(connection: AsyncConnection, digest_id: str) -> Issue | None:
    """One issue."""
    return await _one(connection, "WHERE digest_id = :digest_id", {"digest_id": digest_id})


async def _one(connection: AsyncConnection, clause: str, values: dict[str, Any]) -> Issue | None:
    result = await connection.execute(text(f"SELECT * FROM issues {clause}"), values)  # noqa: S608 - two fixed clauses
    row = result.mappings().first()
    return None if row is None else _issue(row)


async def _insert(connection: AsyncConnection, new: Issue) -> None:
    await connection.execute(
        text(
            "INSERT INTO issues (digest_id, number, title, period_from, period_to, items, level_note, composed_at,"
            " traceparent) VALUES (:digest_id, :number, :title, :period_from, :period_to, CAST(:items AS jsonb),"
            " :level_note, :composed_at, :traceparent)"
        ),
        asdict(new) | {"items": json.dumps([asdict(item) for item in new.items])},
    )


async def _claim(connection: AsyncConnection, digest_id: str, pending: Sequence[Change]) -> None:
    """Give exactly the changes that were read to the issue; one that committed since is in the next one."""
    await connection.execute(
        text("UPDATE changes SET digest_id = :digest_id WHERE id = ANY (:ids)"),
        {"digest_id": digest_id, "ids": [change.id for change in pending]},
    )


async def _queue(connection: AsyncConnection, new: Issue, now: datetime, wall_time: datetime | None) -> int:
    result = await connection.execute(
        text(
            "INSERT INTO deliveries"
            " (id, kind, subscriber_id, digest_id, domain, not_before, created_at, traceparent)"
            " SELECT gen_random_uuid(), 'digest', id, :digest_id, lower(split_part(email, '@', 2)),"
            " greatest(CAST(:now AS timestamptz), CAST(:wall AS timestamp) AT TIME ZONE time_zone), :now, :traceparent"
            " FROM subscribers WHERE state = 'confirmed' AND frequency = 'weekly'"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "digest_id": new.digest_id,
            "now": now,
            "wall": wall_time,
            "traceparent": new.traceparent,
        },
    )
    return result.rowcount


def _sent(new: Issue, recipients: int) -> DigestSent:
    return DigestSent(
        aggregate_version=1,
        digest_id=new.digest_id,
        number=new.number,
        title=new.title,
        period_from=new.period_from,
        period_to=new.period_to,
        items=tuple(
            DigestItem(
                kind=item.kind,
                tool_id=item.tool_id,
                slug=item.slug,
                title=item.title,
                verdict=item.verdict,
                text=item.text,
            )
            for item in new.items
        ),
        recipients=recipients,
        level_note=new.level_note,
        sent_at=new.composed_at,
    )


def _issue(row: RowMapping) -> Issue:
    values = dict(row)
    return Issue(**(values | {"items": tuple(Item(**item) for item in values["items"])}))
