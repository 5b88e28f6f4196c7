"""Held votes: listed, released, voided; and what a worker holds or releases by the record. Each act is an event."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_delivery import publish
from shipjury_delivery.telemetry import current_traceparent

from ..domain import Ballot, Doubt, Limits, hold, release
from .ballots import Key, told

CHUNK = 500
CHECKED_LATER = "checked later"


@dataclass(frozen=True, slots=True)
class Held:
    """A vote in quarantine. ``network`` is a hash of its day: equal ones came from one network."""

    key: Key
    slug: str | None
    ballot: Ballot
    cast_at: datetime
    network: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which held votes are meant; what is ``None`` does not matter."""

    tool_id: str | None = None
    voter: str | None = None
    reason: str | None = None
    network: str | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition on ``ballots b``, and its values."""
        given = {name: value for name in ("voter", "reason", "network") if (value := getattr(self, name)) is not None}
        terms = ["b.state = 'held'", "b.vote <> 'withdrawn'", *(f"b.{name} = :{name}" for name in given)]
        if self.tool_id is not None:
            terms.append("b.tool_id = CAST(:tool_id AS uuid)")
            given["tool_id"] = self.tool_id
        return " AND ".join(terms), given


async def held(
    connection: AsyncConnection, selection: Selection, *, after: Key | None = None, limit: int = 100
) -> list[Held]:
    """Held votes in the order of their keys, behind ``after``."""
    where, values = selection.where()
    if after is not None:
        where += " AND (b.tool_id, b.voter) > (CAST(:after_tool AS uuid), :after_voter)"
        values |= {"after_tool": after[0], "after_voter": after[1]}
    rows = await connection.execute(
        sa.text(f"""
            SELECT b.*, t.slug FROM ballots b LEFT JOIN tools t USING (tool_id)
            WHERE {where} ORDER BY b.tool_id, b.voter LIMIT :limit
        """),  # noqa: S608 - only names of ours are put in
        values | {"limit": limit},
    )
    return [Held((str(row.tool_id), row.voter), row.slug, _ballot(row), row.cast_at, row.network) for row in rows]


async def decide(
    engine: AsyncEngine,
    selection: Selection,
    act: Callable[[Ballot, str], Ballot],
    reason: str,
    now: datetime,
) -> int:
    """Release or void (``act``) the held votes that are meant. Returns how many.

    In transactions of a few hundred votes each: what is done when it is interrupted stays done and told.
    """
    where, values = selection.where()
    query = sa.text(f"SELECT b.* FROM ballots b WHERE {where} ORDER BY b.tool_id, b.voter LIMIT {CHUNK} FOR UPDATE")  # noqa: S608
    return await _in_chunks(engine, query, values, lambda ballot: act(ballot, reason), now)


async def decide_one(
    connection: AsyncConnection, key: Key, act: Callable[[Ballot, str], Ballot], reason: str, now: datetime
) -> Ballot | None:
    """Decide on one vote, whatever its state; ``None`` where there is none. Raises ``NothingToDecide``."""
    row = (
        await connection.execute(
            sa.text("SELECT * FROM ballots WHERE tool_id = CAST(:tool AS uuid) AND voter = :voter FOR UPDATE"),
            {"tool": key[0], "voter": key[1]},
        )
    ).one_or_none()
    if row is None:
        return None
    ballot = act(_ballot(row), reason)
    await _change(connection, [(key, ballot)], now)
    return ballot


async def check_unchecked(engine: AsyncEngine, limits: Limits, now: datetime) -> int:
    """Decide on votes that were taken while the counters were away, by the record. Returns how many.

    Those of a burst stay held, with that reason; the others count. A vote waits a tenth of a burst's window first, so
    that what came around it is on record.
    """
    query = sa.text(f"""
        SELECT b.*, (
            SELECT count(*) FROM ballots o
            WHERE o.network = b.network AND o.tool_id = b.tool_id
            AND o.cast_at BETWEEN b.cast_at - CAST(:window AS interval) AND b.cast_at + CAST(:window AS interval)
        ) AS neighbours
        FROM ballots b
        WHERE b.state = 'held' AND b.reason = :unchecked AND b.cast_at < :until
        ORDER BY b.tool_id, b.voter LIMIT {CHUNK} FOR UPDATE OF b
    """)  # noqa: S608
    values = {
        "window": limits.burst_window,
        "unchecked": str(Doubt.UNCHECKED),
        "until": now - limits.burst_window / 10,
    }
    done = 0
    while True:
        async with engine.begin() as connection:
            rows = (await connection.execute(query, values)).all()
            burst = [row.neighbours > limits.network_voters for row in rows]
            await _change(
                connection,
                [
                    (
                        (str(row.tool_id), row.voter),
                        hold(_ballot(row), Doubt.NETWORK) if many else release(_ballot(row), CHECKED_LATER),
                    )
                    for row, many in zip(rows, burst, strict=True)
                ],
                now,
            )
        done += len(rows)
        if len(rows) < CHUNK:
            return done


async def hold_whole_bursts(engine: AsyncEngine, limits: Limits, now: datetime) -> int:
    """Hold the counted votes that began a burst, before it was seen to be one. Returns how many.

    A vote that an operator or a later check released carries that as its reason and stays released.
    """
    query = sa.text(f"""
        SELECT b.* FROM ballots b JOIN (
            SELECT network, tool_id, min(cast_at) AS began, max(cast_at) AS ended FROM ballots
            WHERE state = 'held' AND reason = :burst AND cast_at > :since GROUP BY network, tool_id
        ) AS h ON b.network = h.network AND b.tool_id = h.tool_id
            AND b.cast_at BETWEEN h.began - CAST(:window AS interval) AND h.ended + CAST(:window AS interval)
        WHERE b.state = 'counted' AND b.vote <> 'withdrawn' AND b.reason IS NULL
        ORDER BY b.tool_id, b.voter LIMIT {CHUNK} FOR UPDATE OF b
    """)  # noqa: S608
    values = {"since": now - 2 * limits.burst_window, "window": limits.burst_window, "burst": str(Doubt.NETWORK)}
    return await _in_chunks(engine, query, values, lambda ballot: hold(ballot, Doubt.NETWORK), now)


async def _in_chunks(
    engine: AsyncEngine, query: sa.TextClause, values: dict[str, Any], act: Callable[[Ballot], Ballot], now: datetime
) -> int:
    done = 0
    while True:
        async with engine.begin() as connection:
            rows = (await connection.execute(query, values)).all()
            await _change(connection, [((str(row.tool_id), row.voter), act(_ballot(row))) for row in rows], now)
        done += len(rows)
        if len(rows) < CHUNK:
            return done


async def _change(connection: AsyncConnection, changed: Sequence[tuple[Key, Ballot]], now: datetime) -> None:
    """Write ballots whose rows are locked, and tell of each."""
    if not changed:
        return
    await connection.execute(
        sa.text("""
            UPDATE ballots b SET state = n.state, reason = n.reason, version = n.version
            FROM unnest(
                CAST(:tools AS uuid[]), CAST(:voters AS text[]), CAST(:states AS text[]), CAST(:reasons AS text[]),
                CAST(:versions AS int[])
            ) AS n (tool_id, voter, state, reason, version)
            WHERE b.tool_id = n.tool_id AND b.voter = n.voter
        """),
        {
            "tools": [key[0] for key, _ in changed],
            "voters": [key[1] for key, _ in changed],
            "states": [ballot.state for _, ballot in changed],
            "reasons": [ballot.reason for _, ballot in changed],
            "versions": [ballot.version for _, ballot in changed],
        },
    )
    trace = current_traceparent()
    await publish(connection, *(told(key, ballot, now, trace) for key, ballot in changed))


def _ballot(row: Any) -> Ballot:
    return Ballot(row.vote, row.state, row.reason, row.version)
