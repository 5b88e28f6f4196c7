"""Deliveries: claimed with a lease, handed over, recorded; what a crash leaves behind is found and told apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ..domain.delivery import Accepted, Deferred, Outcome, Refused, gives_up, pause_after


class LeaseLost(Exception):
    """Another worker has this delivery by now."""


@dataclass(frozen=True)
class Delivery:
    """A claimed delivery: one mail to one subscriber."""

    id: UUID
    kind: str
    subscriber_id: UUID
    digest_id: str | None
    change_id: int | None
    attempts: int
    lease: str
    created_at: datetime
    traceparent: str | None


async def recover(connection: AsyncConnection, now: datetime, *, retry_uncertain: bool) -> dict[str, int]:
    """Sort out what died: leases that ran out before the hand-over go back, those after it are uncertain.

    Returns how many of each. With ``retry_uncertain`` an uncertain mail is sent once more (counted in
    ``times_uncertain``); one that is uncertain twice stays so.
    """
    back = await connection.execute(
        text(
            "UPDATE deliveries SET state = 'pending', lease = NULL, leased_until = NULL"
            " WHERE state = 'claimed' AND leased_until < :now AND handed_at IS NULL"
        ),
        {"now": now},
    )
    uncertain = await connection.execute(
        text(
            "UPDATE deliveries SET times_uncertain = times_uncertain + 1, lease = NULL, leased_until = NULL,"
            " handed_at = NULL, reason = 'the answer of the mail server was not seen',"
            " state = CASE WHEN :retry AND times_uncertain = 0 THEN 'pending' ELSE 'uncertain' END,"
            " ended_at = CASE WHEN :retry AND times_uncertain = 0 THEN NULL ELSE CAST(:now AS timestamptz) END"
            " WHERE state = 'claimed' AND leased_until < :now AND handed_at IS NOT NULL"
        ),
        {"now": now, "retry": retry_uncertain},
    )
    return {"returned": back.rowcount, "uncertain": uncertain.rowcount}


async def claim(
    connection: AsyncConnection, now: datetime, *, lease: timedelta, per_domain_per_minute: int, most: int = 20
) -> Sequence[Delivery]:
    """Claim what is due, confirmations first, within the rate of each recipient domain; none while paused."""
    if await paused(connection):
        return []
    # Claims take turns, so that the rate of a domain holds over all workers.
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('notifier.claim'))"))
    token = str(uuid4())
    result = await connection.execute(
        text(
            "WITH recent AS ("
            "  SELECT domain, count(*) AS mails FROM deliveries WHERE handed_at > :minute_ago"
            "  OR (state = 'claimed' AND handed_at IS NULL) GROUP BY domain"
            "), due AS ("
            "  SELECT d.id, d.kind, d.not_before, row_number() OVER (PARTITION BY d.domain ORDER BY"
            "  d.kind <> 'confirmation', d.not_before, d.id) + coalesce(r.mails, 0) AS nth"
            "  FROM deliveries d LEFT JOIN recent r USING (domain)"
            "  WHERE d.state IN ('pending', 'deferred') AND d.not_before <= :now"
            "), chosen AS ("
            "  SELECT id FROM deliveries WHERE id IN (SELECT id FROM due WHERE nth <= :rate"
            "  ORDER BY kind <> 'confirmation', not_before, id LIMIT :most)"
            "  AND state IN ('pending', 'deferred') FOR UPDATE SKIP LOCKED"
            ") UPDATE deliveries d SET state = 'claimed', lease = :lease, leased_until = :until,"
            " attempts = attempts + 1, handed_at = NULL FROM chosen WHERE d.id = chosen.id"
            " RETURNING d.id, d.kind, d.subscriber_id, d.digest_id, d.change_id, d.attempts, d.lease, d.created_at,"
            " d.traceparent"
        ),
        {
            "now": now,
            "minute_ago": now - timedelta(minutes=1),
            "rate": per_domain_per_minute,
            "most": most,
            "lease": token,
            "until": now + lease,
        },
    )
    return [Delivery(**row) for row in result.mappings()]


async def hand_over(connection: AsyncConnection, delivery: Delivery, now: datetime, lease: timedelta) -> None:
    """Record that the mail's content is about to be sent, before it is. Raises :class:`LeaseLost`.

    From here to :func:`record` a crash leaves the row uncertain.
    """
    await _update(
        connection,
        delivery,
        "handed_at = :now, leased_until = :until",
        {"now": now, "until": now + lease},
    )


async def record(connection: AsyncConnection, delivery: Delivery, outcome: Outcome, now: datetime) -> str:
    """Record what the mail server answered; the new state. Raises :class:`LeaseLost`."""
    match outcome:
        case Accepted():
            state, reason, pause = "accepted", None, None
        case Refused(reason=reason, suppress=suppress):
            state, pause = "failed", None
            if suppress:
                await _suppress(connection, delivery.subscriber_id, reason, now)
        case Deferred(reason=reason):
            state = "failed" if gives_up(delivery.created_at, now) else "deferred"
            pause = pause_after(delivery.attempts)
        case unknown:
            # The row stays claimed and handed over: recovery finds it when the lease ends.
            await _update(connection, delivery, "reason = :reason", {"reason": unknown.reason})
            return "claimed"
    ended = state != "deferred"
    await _update(
        connection,
        delivery,
        "state = :state, reason = :reason, lease = NULL, leased_until = NULL,"
        " handed_at = CASE WHEN :accepted THEN handed_at END,"
        " ended_at = CASE WHEN :ended THEN CAST(:now AS timestamptz) END,"
        " not_before = coalesce(CAST(:not_before AS timestamptz), not_before)",
        {
            "state": state,
            "reason": reason,
            "accepted": state == "accepted",
            "ended": ended,
            "now": now,
            "not_before": now + pause if pause and not ended else None,
        },
    )
    return state


async def skip(connection: AsyncConnection, delivery: Delivery, reason: str, now: datetime) -> None:
    """End a delivery that has nothing to say to this reader, or whose reader has left."""
    await _update(
        connection,
        delivery,
        "state = 'skipped', reason = :reason, lease = NULL, leased_until = NULL, ended_at = :now",
        {"reason": reason, "now": now},
    )


async def release(connection: AsyncConnection, deliveries: Sequence[Delivery]) -> None:
    """Give back claims that were not begun, when the worker stops."""
    await connection.execute(
        text(
            "UPDATE deliveries SET state = 'pending', lease = NULL, leased_until = NULL, attempts = attempts - 1"
            " WHERE id = ANY (:ids) AND lease = ANY (:leases) AND handed_at IS NULL AND state = 'claimed'"
        ),
        {"ids": [d.id for d in deliveries], "leases": [d.lease for d in deliveries]},
    )


async def counts(connection: AsyncConnection) -> dict[str, int]:
    """Deliveries by state, and how many were ever uncertain."""
    result = await connection.execute(text("SELECT state, count(*) AS number FROM deliveries GROUP BY state"))
    by_state: dict[str, int] = {row.state: row.number for row in result}
    ever = await connection.scalar(text("SELECT count(*) FROM deliveries WHERE times_uncertain > 0"))
    return by_state | {"ever_uncertain": int(ever or 0)}


async def paused(connection: AsyncConnection) -> bool:
    """Whether the kill switch is on."""
    return bool(await connection.scalar(text("SELECT is_on FROM switches WHERE name = 'mail_paused'")))


async def set_paused(connection: AsyncConnection, is_on: bool, now: datetime) -> None:
    """Turn the kill switch: while it is on, no mail is claimed."""
    await connection.execute(
        text(
            "INSERT INTO switches (name, is_on, changed_at) VALUES ('mail_paused', :is_on, :now)"
            " ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on, changed_at = excluded.changed_at"
        ),
        {"is_on": is_on, "now": now},
    )
    await connection.execute(text("SELECT pg_notify('deliveries', '')"))


async def _suppress(connection: AsyncConnection, subscriber_id: UUID, reason: str, now: datetime) -> None:
    await connection.execute(
        text("UPDATE subscribers SET state = 'suppressed', suppressed_reason = :reason, left_at = :now WHERE id = :id"),
        {"id": subscriber_id, "reason": reason, "now": now},
    )
    await connection.execute(
        text(
            "UPDATE deliveries SET state = 'skipped', reason = 'address suppressed', ended_at = :now"
            " WHERE subscriber_id = :id AND state IN ('pending', 'deferred')"
        ),
        {"id": subscriber_id, "now": now},
    )


async def _update(connection: AsyncConnection, delivery: Delivery, what: str, values: dict[str, Any]) -> None:
    result = await connection.execute(
        text(f"UPDATE deliveries SET {what} WHERE id = :id AND lease = :lease AND state = 'claimed'"),  # noqa: S608
        values | {"id": delivery.id, "lease": delivery.lease},
    )
    if result.rowcount != 1:
        raise LeaseLost(str(delivery.id))
