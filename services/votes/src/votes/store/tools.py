"""The tools that may be voted on, as the catalog last told."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import ToolPublished

_KEEP = sa.text("""
    INSERT INTO tools AS t (tool_id, slug, name, status, version)
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:slugs AS text[]), CAST(:names AS text[]), CAST(:statuses AS text[]),
        CAST(:versions AS bigint[])
    ) AS n (tool_id, slug, name, status, version)
    ORDER BY n.tool_id
    ON CONFLICT (tool_id) DO UPDATE SET
        slug = excluded.slug, name = excluded.name, status = excluded.status, version = excluded.version
    WHERE t.version < excluded.version
""")


async def keep_tools(connection: AsyncConnection, tools: Sequence[ToolPublished]) -> None:
    """Keep the newest version of each tool; older ones change nothing."""
    newest: dict[str, ToolPublished] = {}
    for tool in tools:
        if tool.tool_id not in newest or newest[tool.tool_id].aggregate_version < tool.aggregate_version:
            newest[tool.tool_id] = tool
    kept = list(newest.values())
    columns = {
        "ids": [tool.tool_id for tool in kept],
        "slugs": [tool.slug for tool in kept],
        "names": [tool.name for tool in kept],
        "statuses": [tool.status for tool in kept],
        "versions": [tool.aggregate_version for tool in kept],
    }
    await connection.execute(_KEEP, columns)


async def known_tools(connection: AsyncConnection, tool_ids: Sequence[str]) -> set[str]:
    """Which of the ids belong to a tool that was published at some time."""
    rows = await connection.scalars(
        sa.text("SELECT tool_id FROM tools WHERE tool_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(tool_ids)}
    )
    return {str(tool_id) for tool_id in rows}
