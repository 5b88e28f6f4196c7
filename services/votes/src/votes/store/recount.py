"""Every tally once more, from nothing but its log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain import BrokenChain, Entry, Head, recount, verify
from .log import all_heads, entries


@dataclass(frozen=True, slots=True)
class Recount:
    """A tool's log recounted. ``problem`` says what does not agree; ``None`` where all does."""

    tool_id: str
    length: int
    head: Head
    problem: str | None


async def recount_all(engine: AsyncEngine) -> AsyncIterator[Recount]:
    """Recount the log of each tool and compare it with head and tally as they are published.

    Votes that are folded meanwhile are left out: a log is read up to the length that was published when it began.
    """
    async with engine.connect() as connection:
        heads = await all_heads(connection)
    for tool_id, head in heads.items():
        yield Recount(tool_id, head.length, head, await _problem(engine, tool_id, head))


async def _problem(engine: AsyncEngine, tool_id: str, head: Head) -> str | None:
    read: list[tuple[Entry, str]] = []
    async for pair in entries(engine, tool_id):
        if pair[0].sequence > head.length:
            break
        read.append(pair)
    try:
        last = verify(read, tool_id=tool_id)
    except BrokenChain as error:
        return str(error)
    if (len(read), last) != (head.length, head.hash):
        return f"the log ends at entry {len(read)} with {last[:12]}, the head says {head.length} with {head.hash[:12]}"
    counted = recount(entry for entry, _ in read)
    return None if counted == head.tally else f"the log adds up to {counted}, the tally says {head.tally}"
