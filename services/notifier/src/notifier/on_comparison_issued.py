"""comparisons.issued.v1 -> a change for the next issue."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import ComparisonIssued, Event

from .domain.digest import Change
from .store import changes


async def on_comparison_issued(connection: AsyncConnection, events: Sequence[Event[ComparisonIssued]]) -> None:
    """Keep each comparison; its overall answer is its summary."""
    for event in events:
        data = event.data
        overall = next((case for case in data.cases if case.use_case == "overall"), None)
        change = Change(
            id=0,
            kind="comparison",
            tool_id=None,
            slug=f"{data.a.slug}-vs-{data.b.slug}",
            name=f"{data.a.name} vs {data.b.name}",
            category="",
            verdict=None,
            score=None,
            previous=None,
            why="",
            summary=overall.explanation if overall else "Compared use case by use case.",
            level=data.level,
            issued_at=data.issued_at,
            traceparent=event.traceparent,
        )
        await changes.record(connection, change, event.id)
