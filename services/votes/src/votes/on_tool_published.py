"""tools.published.v1 -> which tools may be voted on."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, ToolPublished

from .store import tools

GROUP = "votes.on_tool_published"


async def on_tool_published(connection: AsyncConnection, events: Sequence[Event[ToolPublished]]) -> None:
    """Keep each tool's id, name and status."""
    await tools.keep_tools(connection, [event.data for event in events])
