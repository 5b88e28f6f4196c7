"""Tools as the catalog published them, and the jobs that judge them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import enqueue
from shipjury_delivery.tables import jobs
from shipjury_schemas import ToolPublished

from .tables import tools

JUDGE = "panel.judge_tool"
EXAM = "panel.sit_exam"


@dataclass(frozen=True)
class KnownTool:
    """The newest version of a tool that the panel has seen."""

    tool_id: str
    version: int
    slug: str
    published: ToolPublished


async def keep(connection: AsyncConnection, tool: ToolPublished) -> bool:
    """Keep a version unless a newer one is known. Returns whether it was news."""
    statement = insert(tools).values(
        tool_id=tool.tool_id,
        version=tool.aggregate_version,
        status=tool.status,
        slug=tool.slug,
        document=tool.model_dump(mode="json"),
    )
    return (
        await connection.scalar(
            statement.on_conflict_do_update(
                index_elements=["tool_id"],
                set_={name: statement.excluded[name] for name in ("version", "status", "slug", "document")},
                where=tools.c.version < statement.excluded.version,
            ).returning(tools.c.tool_id)
        )
        is not None
    )


async def ask_for_judgement(connection: AsyncConnection, tool_id: str, version: int, why: str = "") -> bool:
    """Store the job (tool, version). ``why`` sets a repeated judgement apart from the first."""
    key = f"{tool_id}:{version}" + (f":{why}" if why else "")
    return await enqueue(connection, JUDGE, key, {"tool_id": tool_id, "version": version})


async def get(connection: AsyncConnection, tool_id: str, *, lock: bool = False) -> KnownTool | None:
    """The newest version; ``lock`` holds its row, and with it the order of the tool's verdicts, to the end."""
    query = sa.select(tools).where(tools.c.tool_id == tool_id)
    return _tool((await connection.execute(query.with_for_update() if lock else query)).mappings().first())


async def by_slug(connection: AsyncConnection, slug: str) -> KnownTool | None:
    """The tool of that name in addresses."""
    query = sa.select(tools).where(tools.c.slug == slug).order_by(tools.c.received_at.desc())
    return _tool((await connection.execute(query)).mappings().first())


def _tool(row: sa.RowMapping | None) -> KnownTool | None:
    if row is None:
        return None
    return KnownTool(row["tool_id"], row["version"], row["slug"], ToolPublished.model_validate(row["document"]))


async def queue(connection: AsyncConnection, kind: str = JUDGE) -> Mapping[str, int]:
    """Jobs of a kind by state."""
    query = sa.select(jobs.c.state, sa.func.count()).where(jobs.c.kind == kind).group_by(jobs.c.state)
    return {row[0]: int(row[1]) for row in await connection.execute(query)}


async def failed(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Judging jobs that are dead or have failed at least once and wait, with the slug and the last error."""
    query = (
        sa.select(jobs.c.key, jobs.c.state, jobs.c.attempt, jobs.c.error, tools.c.slug)
        .join(tools, tools.c.tool_id == jobs.c.payload["tool_id"].astext, isouter=True)
        .where(jobs.c.kind == JUDGE, jobs.c.error.is_not(None), jobs.c.state != "done")
        .order_by(jobs.c.id)
    )
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def names(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """Id, slug and version of every published tool."""
    query = sa.select(tools.c.tool_id, tools.c.slug, tools.c.version).where(tools.c.status == "published")
    return [(tool_id, slug, version) for tool_id, slug, version in await connection.execute(query)]
