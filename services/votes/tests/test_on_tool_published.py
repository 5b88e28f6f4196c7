"""What may be voted on follows what the catalog published."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_schemas import Event, ToolPublished
from shipjury_schemas.tool_published.v1 import Pricing
from votes.on_tool_published import on_tool_published

TOOL = str(uuid4())


def published(version: int, status: str = "published", tool_id: str = TOOL) -> Event[ToolPublished]:
    data = ToolPublished(
        aggregate_version=version,
        tool_id=tool_id,
        status=status,
        slug=f"tool-{tool_id[:4]}-{version}",
        name="Tool",
        vendor="Vendor",
        category="LLM gateways",
        tagline="A tool",
        pricing=Pricing(summary="Free"),
        facts=(),
        content_hash="0" * 64,
        published_at=datetime(2026, 11, 20, tzinfo=UTC),
    )
    return Event(data=data, source="/shipjury/catalog")


async def known(engine: AsyncEngine, *batches: Sequence[Event[ToolPublished]]) -> list[tuple[str, int]]:
    for batch in batches:
        async with engine.begin() as connection:
            await on_tool_published(connection, batch)
    async with engine.connect() as connection:
        return [(row.status, row.version) for row in await connection.execute(sa.text("SELECT * FROM tools"))]


async def test_the_newest_version_of_a_tool_is_kept_in_any_order(engine: AsyncEngine) -> None:
    one, two, three = published(1), published(2), published(3, "retired")
    assert await known(engine, [two, one], [three, one], [two]) == [("retired", 3)]


async def test_tools_of_one_batch_are_all_kept(engine: AsyncEngine) -> None:
    assert len(await known(engine, [published(1, tool_id=str(uuid4())) for _ in range(30)])) == 30
