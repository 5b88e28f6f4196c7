"""The log of a tool as a hash chain: whoever has it can recount every vote and see that nothing was changed.

An entry's hash is SHA-256 over its canonical encoding: a JSON object with exactly the fields of :class:`Entry`, keys
sorted, no white space, UTF-8 (RFC 8785). ``previous`` is the hash of the entry before, 64 zeros for the first, so the
newest hash (the head) fixes the whole log.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from .ballot import State, Vote

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one voter's vote. ``sequence`` counts from 1 without gaps.

    ``time`` is the minute (UTC) in which it was cast: to the second, the times of one reader's votes on several tools
    would tell that they belong together. ``voter`` is the pseudonym for this tool alone.
    """

    tool_id: str
    sequence: int
    time: datetime
    voter: str
    version: int
    vote: Vote
    state: State
    reason: str | None
    previous: str


class BrokenChain(ValueError):
    """A log is not what it says it is. ``sequence`` is the first entry that does not fit."""

    def __init__(self, sequence: int, what: str) -> None:
        super().__init__(f"entry {sequence}: {what}")
        self.sequence = sequence


def minute(time: datetime) -> datetime:
    """The minute (UTC) that a time lies in."""
    return time.astimezone(UTC).replace(second=0, microsecond=0)


def fields(entry: Entry) -> dict[str, str | int | None]:
    """The fields of an entry as they are hashed and shown; the time as ``2026-11-20T23:11Z``."""
    return {
        "tool_id": entry.tool_id,
        "sequence": entry.sequence,
        "time": entry.time.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "voter": entry.voter,
        "version": entry.version,
        "vote": entry.vote,
        "state": entry.state,
        "reason": entry.reason,
        "previous": entry.previous,
    }


def canonical(entry: Entry) -> bytes:
    """The bytes of an entry that are hashed."""
    return json.dumps(fields(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(entry: Entry) -> str:
    """The hash (hex) of an entry."""
    return hashlib.sha256(canonical(entry)).hexdigest()


def verify(entries: Iterable[tuple[Entry, str]], *, tool_id: str) -> str:
    """The head of a whole log of entries and the hashes that they are shown with. Raises :class:`BrokenChain`."""
    head = GENESIS
    for sequence, (entry, shown) in enumerate(entries, start=1):
        if entry.tool_id != tool_id:
            raise BrokenChain(sequence, f"it belongs to tool {entry.tool_id}")
        if entry.sequence != sequence:
            raise BrokenChain(sequence, f"its sequence is {entry.sequence}")
        if entry.previous != head:
            raise BrokenChain(sequence, "it does not follow the entry before")
        head = digest(entry)
        if head != shown:
            raise BrokenChain(sequence, "its hash is not that of its fields")
    return head
