"""Tools as lists show them: the record's head, the newest verdict's summary, the tally, in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import TallyChanged

from ..domain.searching import Entry
from ..domain.tool import letter_of
from ..domain.verdict import Summary, Tally
from .community import tally_of
from .panel import SUMMARY

_ENTRIES = """
    SELECT t.tool_id, t.slug, t.name, t.vendor, t.category, t.family, t.record->>'short_name' AS short_name,
           t.record->>'tagline' AS tagline, t.record->'aliases' AS aliases, t.record->'family'->>'member' AS member,
           t.record->'pricing'->>'summary' AS pricing, t.published_at, v.summary, y.event AS tally
    FROM tools t
    LEFT JOIN LATERAL (SELECT summary FROM verdicts WHERE tool_id = t.tool_id ORDER BY version DESC LIMIT 1) v ON true
    LEFT JOIN tallies y ON y.tool_id = t.tool_id
    WHERE t.status = 'published'
"""


@dataclass(frozen=True)
class Listed:
    """A tool in a list. ``verdict`` is ``None`` while it is under review."""

    tool_id: str
    slug: str
    name: str
    short_name: str
    letter: str
    vendor: str
    category: str
    family: str | None
    member: str
    tagline: str
    pricing: str
    aliases: tuple[str, ...]
    verdict: Summary | None
    tally: Tally | None

    @property
    def entry(self) -> Entry:
        """What can be found of it."""
        return Entry(self.slug, self.name, self.vendor, self.category, self.tagline, self.aliases)


async def every_tool(connection: AsyncConnection) -> list[Listed]:
    """Every published tool, by name."""
    return [_listed(row) for row in await connection.execute(text(_ENTRIES + " ORDER BY lower(t.name), t.slug"))]


async def some_tools(connection: AsyncConnection, tool_ids: Sequence[str]) -> list[Listed]:
    """The published ones of these tools, in the order asked for."""
    rows = await connection.execute(
        text(_ENTRIES + " AND t.tool_id = ANY(:ids)"), {"ids": [UUID(tool_id) for tool_id in tool_ids]}
    )
    found = {str(row.tool_id): _listed(row) for row in rows}
    return [found[tool_id] for tool_id in tool_ids if tool_id in found]


def _listed(row: Row[Any]) -> Listed:
    return Listed(
        tool_id=str(row.tool_id),
        slug=row.slug,
        name=row.name,
        short_name=row.short_name,
        letter=letter_of(row.short_name),
        vendor=row.vendor,
        category=row.category,
        family=row.family,
        member=row.member or "",
        tagline=row.tagline,
        pricing=row.pricing,
        aliases=tuple(row.aliases or ()),
        verdict=SUMMARY.validate_python(row.summary) if row.summary else None,
        tally=tally_of(TallyChanged.model_validate(row.tally)) if row.tally else None,
    )
