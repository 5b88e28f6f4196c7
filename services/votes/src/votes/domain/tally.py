"""What the votes on a tool add up to, kept up to date event by event, and what may be said about the share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import sqrt

from .ballot import State, Vote
from .chain import GENESIS, Entry, digest, minute

MINIMUM_VOTES = 10
"""Counted votes below which there is no share: a percentage of three votes says nothing."""

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Votes on a tool: counted ones by what they say, and those in quarantine."""

    ship: int = 0
    skip: int = 0
    held: int = 0

    def with_vote(self, vote: Vote, state: State, sign: int = 1) -> "Tally":
        """The tally with one vote more (``sign`` 1) or less (-1)."""
        if vote == "withdrawn" or state == "voided":
            return self
        if state == "held":
            return replace(self, held=self.held + sign)
        return replace(self, ship=self.ship + sign) if vote == "ship" else replace(self, skip=self.skip + sign)


@dataclass(frozen=True, slots=True)
class Cast:
    """What an event says: a voter's vote on a tool and its version. ``voter`` is the pseudonym for that tool."""

    tool_id: str
    voter: str
    version: int
    vote: Vote
    state: State
    reason: str | None
    time: datetime


@dataclass(frozen=True, slots=True)
class Folded:
    """A voter's vote as it was folded last."""

    version: int
    vote: Vote
    state: State


@dataclass(frozen=True, slots=True)
class Head:
    """Where a tool's log ends: its length, the newest hash, and the tally that it adds up to."""

    length: int = 0
    hash: str = GENESIS
    tally: Tally = Tally()


@dataclass(frozen=True, slots=True)
class Folding:
    """A tool's log after some events: the new head, the new entries with their hashes, each voter's newest vote."""

    head: Head
    entries: tuple[tuple[Entry, str], ...]
    newest: Mapping[str, Folded]


def fold(head: Head, folded: Mapping[str, Folded], casts: Sequence[Cast]) -> Folding:
    """Add events of one tool to its log, in the order in which they come.

    ``folded`` has the newest vote folded so far of every voter in ``casts``. An event that is not newer than it is
    left out, so that replays and reorderings end in the same tally.
    """
    newest, tally, last = dict(folded), head.tally, head.hash
    entries: list[tuple[Entry, str]] = []
    for cast in casts:
        before = newest.get(cast.voter)
        if before is not None:
            if cast.version <= before.version:
                continue
            tally = tally.with_vote(before.vote, before.state, -1)
        tally = tally.with_vote(cast.vote, cast.state)
        newest[cast.voter] = Folded(cast.version, cast.vote, cast.state)
        entry = Entry(
            tool_id=cast.tool_id,
            sequence=head.length + len(entries) + 1,
            time=minute(cast.time),
            voter=cast.voter,
            version=cast.version,
            vote=cast.vote,
            state=cast.state,
            reason=cast.reason,
            previous=last,
        )
        last = digest(entry)
        entries.append((entry, last))
    return Folding(Head(head.length + len(entries), last, tally), tuple(entries), newest)


def recount(entries: Iterable[Entry]) -> Tally:
    """The tally from nothing but a log: of each voter only the newest version counts."""
    newest: dict[str, Entry] = {}
    for entry in entries:
        before = newest.get(entry.voter)
        if before is None or entry.version > before.version:
            newest[entry.voter] = entry
    tally = Tally()
    for entry in newest.values():
        tally = tally.with_vote(entry.vote, entry.state)
    return tally


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % by default; ``(0.0, 1.0)`` where nothing was tried.

    Lists rank by the lower bound: three of three must not stand above ninety of a hundred.
    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if trials == 0:
        return 0.0, 1.0
    observed = successes / trials
    denominator = 1 + z * z / trials
    centre = observed + z * z / (2 * trials)
    spread = z * sqrt(observed * (1 - observed) / trials + z * z / (4 * trials * trials))
    return max(0.0, (centre - spread) / denominator), min(1.0, (centre + spread) / denominator)


def share(tally: Tally) -> tuple[float, tuple[float, float]] | None:
    """The share of ship among counted votes, and its interval; ``None`` under :data:`MINIMUM_VOTES`."""
    counted = tally.ship + tally.skip
    if counted < MINIMUM_VOTES:
        return None
    return tally.ship / counted, wilson(tally.ship, counted)
