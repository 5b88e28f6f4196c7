"""Each reader's bookmarks, by the hash of a random cookie: no account, and nothing that leads to a person."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEPT_FOR = timedelta(days=800)
LIMIT = 200


class TooManyBookmarks(ValueError):
    """A reader's list is full."""


async def keep(connection: AsyncConnection, reader: bytes, tool_id: str, *, now: datetime) -> None:
    """Add a tool to a reader's list; again changes nothing. Raises :class:`TooManyBookmarks`."""
    held = (
        await connection.execute(text("SELECT count(*) FROM bookmarks WHERE reader = :reader"), {"reader": reader})
    ).scalar_one()
    if held >= LIMIT:
        raise TooManyBookmarks(f"A list holds at most {LIMIT} bookmarks; take one off first.")
    await connection.execute(
        text(
            "INSERT INTO bookmarks (reader, tool_id, kept_at) SELECT :reader, tool_id, :now FROM tools"
            " WHERE tool_id = :tool_id ON CONFLICT DO NOTHING"
        ),
        {"reader": reader, "tool_id": UUID(tool_id), "now": now},
    )


async def drop(connection: AsyncConnection, reader: bytes, tool_id: str) -> None:
    """Take a tool off a reader's list; one that is not on it changes nothing."""
    await connection.execute(
        text("DELETE FROM bookmarks WHERE reader = :reader AND tool_id = :tool_id"),
        {"reader": reader, "tool_id": UUID(tool_id)},
    )


async def of(connection: AsyncConnection, reader: bytes) -> list[str]:
    """Ids of the tools on a reader's list, newest first."""
    rows = await connection.execute(
        text(
            "SELECT b.tool_id FROM bookmarks b JOIN tools t USING (tool_id)"
            " WHERE b.reader = :reader AND t.status = 'published' ORDER BY b.kept_at DESC, b.tool_id"
        ),
        {"reader": reader},
    )
    return [str(row.tool_id) for row in rows]


async def forget_old(connection: AsyncConnection, *, now: datetime) -> int:
    """Delete bookmarks whose cookie has run out by now. Returns how many."""
    result = await connection.execute(text("DELETE FROM bookmarks WHERE kept_at < :then"), {"then": now - KEPT_FOR})
    return int(result.rowcount)
