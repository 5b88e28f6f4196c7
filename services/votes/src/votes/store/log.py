"""Each tool's log and tally: events are folded in, readers page through."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_delivery import publish
from shipjury_schemas import Event, TallyChanged
from shipjury_schemas.verdict_issued.v1 import Interval

from ..domain import GENESIS, Cast, Entry, Folded, Folding, Head, Tally, fold, share
from .ballots import SOURCE

CHANNEL = "votes_tallies"
"""Notified in the transaction that changes a tally, so that every replica's live pages follow."""

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a log with their hashes, and where the log ended when they were read."""

    head: Head
    entries: tuple[tuple[Entry, str], ...]


async def fold_casts(connection: AsyncConnection, casts: Sequence[Cast], now: datetime) -> None:
    """Append events to the logs of their tools, with tallies and what they tell, in the caller's transaction.

    The tools' heads are locked in order, so that two workers which meet (a rebalance) wait and never deadlock.
    """
    ordered = sorted(casts, key=lambda cast: cast.tool_id)  # stable: the order within a tool stays
    by_tool = {tool_id: list(group) for tool_id, group in groupby(ordered, key=lambda cast: cast.tool_id)}
    heads = await _lock_heads(connection, list(by_tool), now)
    newest = await _last_folded(connection, ordered)
    foldings = [
        (tool_id, folding)
        for tool_id, group in by_tool.items()
        if (folding := fold(heads[tool_id], newest.get(tool_id, {}), group)).entries
    ]
    if not foldings:
        return
    await _append(connection, [pair for _, folding in foldings for pair in folding.entries])
    await _keep_folded(connection, foldings)
    await _move_heads(connection, foldings, now)
    await publish(connection, *(_told(tool_id, folding.head, now) for tool_id, folding in foldings))
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


async def _lock_heads(connection: AsyncConnection, tool_ids: list[str], now: datetime) -> dict[str, Head]:
    await connection.execute(
        sa.text("""
            INSERT INTO tallies (tool_id, head, changed_at)
            SELECT id, :genesis, :now FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
            ON CONFLICT DO NOTHING
        """),
        {"ids": tool_ids, "genesis": GENESIS, "now": now},
    )
    rows = await connection.execute(
        sa.text("SELECT * FROM tallies WHERE tool_id = ANY(CAST(:ids AS uuid[])) ORDER BY tool_id FOR UPDATE"),
        {"ids": tool_ids},
    )
    return {str(row.tool_id): _head(row) for row in rows}


async def _last_folded(connection: AsyncConnection, casts: Sequence[Cast]) -> dict[str, dict[str, Folded]]:
    keys = sorted({(cast.tool_id, cast.voter) for cast in casts})
    rows = await connection.execute(
        sa.text("""
            SELECT f.tool_id, f.voter, f.vote, f.state, f.version
            FROM unnest(CAST(:tools AS uuid[]), CAST(:voters AS text[])) AS k (tool_id, voter)
            JOIN folded f ON f.tool_id = k.tool_id AND f.voter = k.voter
        """),
        {"tools": [tool for tool, _ in keys], "voters": [voter for _, voter in keys]},
    )
    found: dict[str, dict[str, Folded]] = {}
    for row in rows:
        found.setdefault(str(row.tool_id), {})[row.voter] = Folded(row.version, row.vote, row.state)
    return found


async def _append(connection: AsyncConnection, pairs: Sequence[tuple[Entry, str]]) -> None:
    columns: dict[str, list[Any]] = {
        "tools": [entry.tool_id for entry, _ in pairs],
        "sequences": [entry.sequence for entry, _ in pairs],
        "times": [entry.time for entry, _ in pairs],
        "voters": [entry.voter for entry, _ in pairs],
        "versions": [entry.version for entry, _ in pairs],
        "votes": [entry.vote for entry, _ in pairs],
        "states": [entry.state for entry, _ in pairs],
        "reasons": [entry.reason for entry, _ in pairs],
        "previous": [entry.previous for entry, _ in pairs],
        "hashes": [shown for _, shown in pairs],
    }
    await connection.execute(
        sa.text("""
            INSERT INTO log (tool_id, sequence, time, voter, version, vote, state, reason, previous, hash)
            SELECT * FROM unnest(
                CAST(:tools AS uuid[]), CAST(:sequences AS bigint[]), CAST(:times AS timestamptz[]),
                CAST(:voters AS text[]), CAST(:versions AS int[]), CAST(:votes AS text[]), CAST(:states AS text[]),
                CAST(:reasons AS text[]), CAST(:previous AS text[]), CAST(:hashes AS text[])
            )
        """),
        columns,
    )


async def _keep_folded(connection: AsyncConnection, foldings: Sequence[tuple[str, Folding]]) -> None:
    newest = [(tool, voter, vote) for tool, folding in foldings for voter, vote in sorted(folding.newest.items())]
    await connection.execute(
        sa.text("""
            INSERT INTO folded AS f (tool_id, voter, vote, state, version)
            SELECT * FROM unnest(
                CAST(:tools AS uuid[]), CAST(:voters AS text[]), CAST(:votes AS text[]), CAST(:states AS text[]),
                CAST(:versions AS int[])
            )
            ON CONFLICT (tool_id, voter) DO UPDATE SET
                vote = excluded.vote, state = excluded.state, version = excluded.version
            WHERE f.version < excluded.version
        """),
        {
            "tools": [tool for tool, _, _ in newest],
            "voters": [voter for _, voter, _ in newest],
            "votes": [vote.vote for _, _, vote in newest],
            "states": [vote.state for _, _, vote in newest],
            "versions": [vote.version for _, _, vote in newest],
        },
    )


async def _move_heads(connection: AsyncConnection, foldings: Sequence[tuple[str, Folding]], now: datetime) -> None:
    heads = [folding.head for _, folding in foldings]
    await connection.execute(
        sa.text("""
            UPDATE tallies t SET length = n.length, head = n.head, ship = n.ship, skip = n.skip, held = n.held,
                changed_at = :now
            FROM unnest(
                CAST(:tools AS uuid[]), CAST(:lengths AS bigint[]), CAST(:heads AS text[]), CAST(:ships AS int[]),
                CAST(:skips AS int[]), CAST(:helds AS int[])
            ) AS n (tool_id, length, head, ship, skip, held)
            WHERE t.tool_id = n.tool_id
        """),
        {
            "tools": [tool_id for tool_id, _ in foldings],
            "lengths": [head.length for head in heads],
            "heads": [head.hash for head in heads],
            "ships": [head.tally.ship for head in heads],
            "skips": [head.tally.skip for head in heads],
            "helds": [head.tally.held for head in heads],
            "now": now,
        },
    )


def _told(tool_id: str, head: Head, now: datetime) -> Event[TallyChanged]:
    shared = share(head.tally)
    data = TallyChanged(
        aggregate_version=head.length,
        tool_id=tool_id,
        ship=head.tally.ship,
        skip=head.tally.skip,
        held=head.tally.held,
        share=shared[0] if shared else None,
        interval=Interval(low=shared[1][0], high=shared[1][1]) if shared else None,
        head=head.hash,
        changed_at=now,
    )
    return Event(data=data, source=SOURCE, time=now)


async def heads(connection: AsyncConnection, tool_ids: Sequence[str]) -> dict[str, Head]:
    """The heads of tools that have a log."""
    rows = await connection.execute(
        sa.text("SELECT * FROM tallies WHERE tool_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(tool_ids)}
    )
    return {str(row.tool_id): _head(row) for row in rows}


async def all_heads(connection: AsyncConnection) -> dict[str, Head]:
    """The heads of all tools that have a log, by tool id."""
    rows = await connection.execute(sa.text("SELECT * FROM tallies ORDER BY tool_id"))
    return {str(row.tool_id): _head(row) for row in rows}


async def page(connection: AsyncConnection, tool_id: str, after: int, limit: int) -> Page:
    """Up to ``limit`` entries behind sequence ``after``. The head is read first: no entry is newer than it."""
    head = (await heads(connection, [tool_id])).get(tool_id, Head())
    rows = await connection.execute(
        sa.text("""
            SELECT * FROM log WHERE tool_id = CAST(:tool AS uuid) AND sequence > :after AND sequence <= :until
            ORDER BY sequence LIMIT :limit
        """),
        {"tool": tool_id, "after": after, "until": head.length, "limit": limit},
    )
    return Page(head, tuple((_entry(row), row.hash) for row in rows))


async def entries(engine: AsyncEngine, tool_id: str, after: int = 0) -> AsyncIterator[tuple[Entry, str]]:
    """The log from behind ``after`` to its present end, page by page: no transaction stays open meanwhile."""
    while True:
        async with engine.connect() as connection:
            found = await page(connection, tool_id, after, PAGE)
        for pair in found.entries:
            yield pair
        if len(found.entries) < PAGE:
            return
        after = found.entries[-1][0].sequence


def _head(row: Any) -> Head:
    return Head(row.length, row.head, Tally(row.ship, row.skip, row.held))


def _entry(row: Any) -> Entry:
    return Entry(
        tool_id=str(row.tool_id),
        sequence=row.sequence,
        time=row.time,
        voter=row.voter,
        version=row.version,
        vote=row.vote,
        state=row.state,
        reason=row.reason,
        previous=row.previous,
    )
