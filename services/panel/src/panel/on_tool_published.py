"""tools.published.v1: keeps the version and stores the job that judges it; judging takes longer than an event may."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, ToolPublished

from .store import tools


async def on_tool_published(connection: AsyncConnection, events: Sequence[Event[ToolPublished]]) -> None:
    """Keep each version that is news, and ask for its judgement. A retired tool is kept and not judged."""
    for event in events:
        tool = event.data
        if await tools.keep(connection, tool) and tool.status != "retired":
            await tools.ask_for_judgement(connection, tool.tool_id, tool.aggregate_version)
