"""Votes as they stand: many read, decided on, written and told of in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import publish
from shipjury_schemas import Event, VoteCast

from ..domain import GENESIS, Ballot, Head, StaleVersion, Tally, Vote, cast

SOURCE = "/shipjury/votes"

Key = tuple[str, str]
"""Tool id and the voter's pseudonym for that tool."""


class UnknownTool(Exception):
    """No such tool was ever published."""


class RetiredTool(Exception):
    """The tool is retired: its tally stays, votes may be withdrawn, none may be cast."""


class Raced(Exception):
    """Another replica wrote the same vote between reading and writing; try again."""


@dataclass(frozen=True, slots=True)
class Write:
    """One voter's request. ``network`` and ``signal`` are salted hashes; ``at`` is when it came (UTC)."""

    tool_id: str
    voter: str
    vote: Vote
    at: datetime
    expected: int | None = None
    doubt: str | None = None
    network: str | None = None
    signal: str | None = None
    traceparent: str | None = None

    @property
    def key(self) -> Key:
        """What the write is about."""
        return self.tool_id, self.voter


@dataclass(frozen=True, slots=True)
class Standing:
    """What a reader sees of a tool: its tally and log's head as folded so far, and the reader's own vote at once."""

    tool_id: str
    head: Head
    ballot: Ballot | None


_READ = sa.text("""
    SELECT t.status, b.vote, b.state, b.reason, b.version, c.length, c.head, c.ship, c.skip, c.held
    FROM unnest(CAST(:tools AS uuid[]), CAST(:voters AS text[])) WITH ORDINALITY AS k (tool_id, voter, n)
    LEFT JOIN tools t ON t.tool_id = k.tool_id
    LEFT JOIN ballots b ON b.tool_id = k.tool_id AND b.voter = k.voter
    LEFT JOIN tallies c ON c.tool_id = k.tool_id
    ORDER BY k.n
""")

# Rows come sorted by key: two replicas that lock the same rows in different order would deadlock. A row that is not
# returned was changed by somebody else after it was read.
_UPSERT = sa.text("""
    INSERT INTO ballots AS b (tool_id, voter, vote, state, reason, version, cast_at, network, signal)
    SELECT * FROM unnest(
        CAST(:tools AS uuid[]), CAST(:voters AS text[]), CAST(:votes AS text[]), CAST(:states AS text[]),
        CAST(:reasons AS text[]), CAST(:versions AS int[]), CAST(:times AS timestamptz[]),
        CAST(:networks AS text[]), CAST(:signals AS text[])
    ) AS w (tool_id, voter, vote, state, reason, version, cast_at, network, signal)
    ORDER BY w.tool_id, w.voter
    ON CONFLICT (tool_id, voter) DO UPDATE SET
        vote = excluded.vote, state = excluded.state, reason = excluded.reason, version = excluded.version,
        cast_at = excluded.cast_at, network = excluded.network, signal = excluded.signal
    WHERE b.version = excluded.version - 1
    RETURNING b.tool_id, b.voter
""")


async def standing(connection: AsyncConnection, tool_id: str, voter: str | None) -> Standing:
    """Where a tool and a voter stand now. Raises :class:`UnknownTool`."""
    found = await _read(connection, [(tool_id, voter or "")])
    status, result = found[0]
    if status is None:
        raise UnknownTool(tool_id)
    return result


async def write_all(connection: AsyncConnection, writes: Sequence[Write]) -> list[Standing | Exception]:
    """Apply requests that came together, in their order; the answer of each, or why it is refused.

    Of several writes of one voter on one tool the last wins, and all of them are answered with it. Answers:
    :class:`Standing`, :class:`UnknownTool`, :class:`RetiredTool`, ``StaleVersion``, or :class:`Raced` for one that has
    to be tried again. The caller commits; nothing may be answered before that.
    """
    keys = sorted({write.key for write in writes})
    found = dict(zip(keys, await _read(connection, keys), strict=True))
    decided: dict[Key, tuple[Write, Ballot]] = {}
    refused: dict[int, Exception] = {}
    for number, write in enumerate(writes):
        status, before = found[write.key]
        try:
            _decide(write, status, before.ballot, decided)
        except (UnknownTool, RetiredTool, StaleVersion, Raced) as error:
            refused[number] = error
    written = await _upsert(connection, [decided[key] for key in sorted(decided)])
    after = {
        key: replace(found[key][1], ballot=ballot) if key in written else Raced()
        for key, (_, ballot) in decided.items()
    }
    return [refused.get(number) or after.get(write.key, found[write.key][1]) for number, write in enumerate(writes)]


def _decide(write: Write, status: str | None, base: Ballot | None, decided: dict[Key, tuple[Write, Ballot]]) -> None:
    """Enter what the write makes of the vote; nothing where it changes nothing."""
    if status is None:
        raise UnknownTool(write.tool_id)
    if status == "retired" and write.vote != "withdrawn":
        raise RetiredTool(write.tool_id)
    earlier = decided.get(write.key)
    if earlier and write.expected is not None:
        # It names the version that a write of this same batch makes, or a stale one: only the next batch can tell.
        raise Raced
    doubt = write.doubt or (earlier[0].doubt if earlier else None)
    ballot = cast(base, write.vote, write.expected, doubt)
    if ballot is None or ballot is base:
        decided.pop(write.key, None)
    else:
        decided[write.key] = write, ballot


async def _read(connection: AsyncConnection, keys: Sequence[Key]) -> list[tuple[str | None, Standing]]:
    """Of each key the tool's status (``None``: unknown) and the standing, in the order of the keys."""
    rows = await connection.execute(
        _READ, {"tools": [tool for tool, _ in keys], "voters": [voter for _, voter in keys]}
    )
    return [
        (
            row.status,
            Standing(
                tool_id=tool_id,
                head=Head(row.length or 0, row.head or GENESIS, Tally(row.ship or 0, row.skip or 0, row.held or 0)),
                ballot=Ballot(row.vote, row.state, row.reason, row.version) if row.version else None,
            ),
        )
        for (tool_id, _), row in zip(keys, rows, strict=True)
    ]


async def _upsert(connection: AsyncConnection, decided: Sequence[tuple[Write, Ballot]]) -> set[Key]:
    """Write votes, sorted by key, and what they tell into the outbox. Returns the keys that nobody else had changed."""
    if not decided:
        return set()
    columns: dict[str, list[Any]] = {
        "tools": [write.tool_id for write, _ in decided],
        "voters": [write.voter for write, _ in decided],
        "votes": [ballot.vote for _, ballot in decided],
        "states": [ballot.state for _, ballot in decided],
        "reasons": [ballot.reason for _, ballot in decided],
        "versions": [ballot.version for _, ballot in decided],
        "times": [write.at for write, _ in decided],
        "networks": [write.network for write, _ in decided],
        "signals": [write.signal for write, _ in decided],
    }
    rows = await connection.execute(_UPSERT, columns)
    written = {(str(row.tool_id), row.voter) for row in rows}
    events = [told(write.key, ballot, write.at, write.traceparent) for write, ballot in decided if write.key in written]
    await publish(connection, *events)
    return written


def told(key: Key, ballot: Ballot, at: datetime, traceparent: str | None = None) -> Event[VoteCast]:
    """The event that tells of a vote, cast or decided on at ``at``."""
    data = VoteCast(
        aggregate_version=ballot.version,
        tool_id=key[0],
        voter=key[1],
        vote=ballot.vote,
        state=ballot.state,
        reason=ballot.reason,
        cast_at=at,
    )
    return Event(data=data, source=SOURCE, time=at, traceparent=traceparent)
