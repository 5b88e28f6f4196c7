"""Subscribers: double opt-in, preferences, leaving, suppression, export and deletion."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery.telemetry import current_traceparent

CONFIRMATION_PAUSE = timedelta(minutes=10)
MOST_CONFIRMATIONS = 3

Frequency = Literal["weekly", "flips"]


class TooManyPending(Exception):
    """More unconfirmed subscribers than the settings allow; ask again later."""


@dataclass(frozen=True)
class Subscriber:
    """A subscriber as stored. ``email`` is as it was typed."""

    id: UUID
    email: str
    state: str
    categories: tuple[str, ...]
    tools: tuple[str, ...]
    frequency: Frequency
    time_zone: str
    consent_text: str
    consented_at: datetime
    confirmed_at: datetime | None


@dataclass(frozen=True)
class Wish:
    """What somebody asked for on the sign-up form."""

    email: str
    categories: Sequence[str]
    tools: Sequence[str]
    frequency: Frequency
    time_zone: str
    consent_text: str


async def subscribe(connection: AsyncConnection, wish: Wish, now: datetime, *, most_pending: int) -> UUID | None:
    """Store a wish and queue its confirmation mail; the id of the subscriber that gets one, else ``None``.

    Whoever is confirmed already, or has been sent a confirmation a moment ago, gets no mail: the answer to the caller
    is the same, so that nobody learns who subscribes, and nobody can fill a stranger's mailbox. Preferences of a
    confirmed subscriber do not change here (anybody can type an address); the link in each mail does that.
    """
    row = await _locked(connection, wish.email)
    if row is None:
        pending = await connection.scalar(text("SELECT count(*) FROM subscribers WHERE state = 'pending'"))
        if (pending or 0) >= most_pending:
            raise TooManyPending
        await connection.execute(
            text(
                "INSERT INTO subscribers (id, email, state, frequency, time_zone, consent_text, consented_at)"
                " VALUES (:id, :email, 'pending', 'weekly', 'UTC', '', :now) ON CONFLICT DO NOTHING"
            ),
            {"id": uuid4(), "email": wish.email, "now": now},
        )
        row = await _locked(connection, wish.email)
        if row is None:
            raise LookupError("the subscriber went away while it was stored")
    if row["state"] in ("confirmed", "suppressed") or not _may_confirm(row, now):
        return None
    await connection.execute(
        text(
            "UPDATE subscribers SET state = 'pending', categories = :categories, tools = :tools,"
            " frequency = :frequency, time_zone = :time_zone, consent_text = :consent_text, consented_at = :now,"
            " last_confirmation_at = :now,"
            " confirmations_sent = CASE WHEN last_confirmation_at > CAST(:now AS timestamptz) - interval '1 day'"
            " THEN confirmations_sent + 1 ELSE 1 END"
            " WHERE id = :id"
        ),
        {
            "id": row["id"],
            "categories": list(wish.categories),
            "tools": list(wish.tools),
            "frequency": wish.frequency,
            "time_zone": wish.time_zone,
            "consent_text": wish.consent_text,
            "now": now,
        },
    )
    await connection.execute(
        text(
            "INSERT INTO deliveries (id, kind, subscriber_id, domain, not_before, created_at, traceparent)"
            " VALUES (:id, 'confirmation', :subscriber, :domain, :now, :now, :traceparent)"
        ),
        {
            "id": uuid4(),
            "subscriber": row["id"],
            "domain": wish.email.rpartition("@")[2].lower(),
            "now": now,
            "traceparent": current_traceparent(),
        },
    )
    await connection.execute(text("SELECT pg_notify('deliveries', '')"))
    return UUID(str(row["id"]))


async def confirm(connection: AsyncConnection, subscriber_id: UUID, now: datetime) -> Subscriber | None:
    """The second half of the double opt-in; idempotent. ``None`` for who is unknown or left since."""
    await connection.execute(
        text("UPDATE subscribers SET state = 'confirmed', confirmed_at = :now WHERE id = :id AND state = 'pending'"),
        {"id": subscriber_id, "now": now},
    )
    found = await get(connection, subscriber_id)
    return found if found is not None and found.state == "confirmed" else None


async def unsubscribe(connection: AsyncConnection, subscriber_id: UUID, now: datetime) -> None:
    """Stop all mails to a subscriber, at once; idempotent. What is queued is skipped."""
    await connection.execute(
        text(
            "UPDATE subscribers SET state = 'unsubscribed', left_at = :now"
            " WHERE id = :id AND state IN ('pending', 'confirmed')"
        ),
        {"id": subscriber_id, "now": now},
    )
    await connection.execute(
        text(
            "UPDATE deliveries SET state = 'skipped', reason = 'unsubscribed', ended_at = :now"
            " WHERE subscriber_id = :id AND state IN ('pending', 'deferred')"
        ),
        {"id": subscriber_id, "now": now},
    )


async def change_preferences(
    connection: AsyncConnection,
    subscriber_id: UUID,
    *,
    categories: Sequence[str],
    tools: Sequence[str],
    frequency: Frequency,
    time_zone: str,
) -> None:
    """Set what a subscriber wants to read about."""
    await connection.execute(
        text(
            "UPDATE subscribers SET categories = :categories, tools = :tools, frequency = :frequency,"
            " time_zone = :time_zone WHERE id = :id"
        ),
        {
            "id": subscriber_id,
            "categories": list(categories),
            "tools": list(tools),
            "frequency": frequency,
            "time_zone": time_zone,
        },
    )


async def delete(connection: AsyncConnection, subscriber_id: UUID) -> None:
    """Delete a subscriber with every trace of what was sent."""
    await connection.execute(text("DELETE FROM subscribers WHERE id = :id"), {"id": subscriber_id})


async def export(connection: AsyncConnection, subscriber_id: UUID) -> dict[str, Any] | None:
    """Everything that is stored about a subscriber, for the subscriber."""
    found = await get(connection, subscriber_id)
    if found is None:
        return None
    mails = await connection.execute(
        text(
            "SELECT kind, digest_id, state, created_at, ended_at FROM deliveries"
            " WHERE subscriber_id = :id ORDER BY created_at"
        ),
        {"id": subscriber_id},
    )
    return {
        "email": found.email,
        "state": found.state,
        "categories": list(found.categories),
        "tools": list(found.tools),
        "frequency": found.frequency,
        "time_zone": found.time_zone,
        "consent": {"text": found.consent_text, "at": found.consented_at.isoformat()},
        "confirmed_at": found.confirmed_at.isoformat() if found.confirmed_at else None,
        "mails": [
            {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
            for row in mails.mappings()
        ],
    }


async def get(connection: AsyncConnection, subscriber_id: UUID) -> Subscriber | None:
    """One subscriber."""
    result = await connection.execute(text("SELECT * FROM subscribers WHERE id = :id"), {"id": subscriber_id})
    row = result.mappings().first()
    return None if row is None else _subscriber(row)


async def count_by_state(connection: AsyncConnection) -> dict[str, int]:
    """Subscribers by state."""
    result = await connection.execute(text("SELECT state, count(*) AS number FROM subscribers GROUP BY state"))
    return {row.state: row.number for row in result}


async def _locked(connection: AsyncConnection, email: str) -> RowMapping | None:
    result = await connection.execute(
        text("SELECT * FROM subscribers WHERE lower(email) = lower(:email) FOR UPDATE"), {"email": email}
    )
    return result.mappings().first()


def _may_confirm(row: RowMapping, now: datetime) -> bool:
    last = row["last_confirmation_at"]
    if last is None or now - last > timedelta(days=1):
        return True
    return bool(now - last > CONFIRMATION_PAUSE and row["confirmations_sent"] < MOST_CONFIRMATIONS)


def _subscriber(row: RowMapping) -> Subscriber:
    return Subscriber(
        id=UUID(str(row["id"])),
        email=row["email"],
        state=row["state"],
        categories=tuple(row["categories"]),
        tools=tuple(row["tools"]),
        frequency=row["frequency"],
        time_zone=row["time_zone"],
        consent_text=row["consent_text"],
        consented_at=row["consented_at"],
        confirmed_at=row["confirmed_at"],
    )
