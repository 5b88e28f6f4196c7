"""Tools on record: publish, retire, find. Publishing is idempotent by content hash."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import TypeAdapter
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import publish
from shipjury_schemas import Event, ToolPublished
from shipjury_schemas.tool_published import v1

from .. import domain
from .site import touch

Outcome = Literal["new", "changed", "unchanged", "retired"]
_TOOL = TypeAdapter(domain.Tool)


@dataclass(frozen=True)
class OnRecord:
    """A tool with its identity and version."""

    tool_id: str
    version: int
    tool: domain.Tool
    content_hash: str
    origin: str
    first_published_at: datetime
    published_at: datetime


@dataclass(frozen=True)
class Published:
    """What publishing did."""

    tool_id: str
    slug: str
    version: int
    outcome: Outcome


async def publish_tool(
    connection: AsyncConnection, draft: domain.ToolDraft, *, origin: str, now: datetime
) -> Published:
    """Put a tool on record: a new one, a new version of one, or nothing where its content is the same.

    ``origin`` says who publishes (``starter``, ``file``, ``api``). Raises ``SlugClash`` where the address belongs to
    another tool, ``DossierTooLarge`` and ``EventTooLarge``.
    """
    tool = domain.compose(draft)
    standing = await _lock(connection, draft.slug)
    if standing is None:
        tool_id = str(uuid5(NAMESPACE_URL, f"shipjury:tool:{draft.slug}"))
        if not await _insert(connection, tool_id, tool, origin, now):
            standing = await _lock(connection, draft.slug)
    if standing is None:
        await _announce(connection, tool_id, 1, tool, origin, now)
        return Published(tool_id, tool.slug, 1, "new")
    if standing.tool.name != tool.name and standing.tool.vendor != tool.vendor:
        raise domain.SlugClash(
            f"the address {tool.slug!r} belongs to {standing.tool.name} by {standing.tool.vendor}; "
            f"give {tool.name} by {tool.vendor} another slug"
        )
    if standing.content_hash == tool.content_hash:
        return Published(standing.tool_id, tool.slug, standing.version, "unchanged")
    return await _new_version(connection, standing, tool, origin, now, "changed")


async def retire(connection: AsyncConnection, slug: str, *, into: str | None = None, now: datetime) -> Published:
    """Take a tool off the site; its last record stays. ``into`` names the tool that it is merged with.

    Raises ``UnknownTool``.
    """
    standing = await _lock(connection, slug)
    if standing is None:
        raise domain.UnknownTool(f"there is no tool {slug!r}")
    if into is not None:
        target = await find(connection, into)
        if target is None or target.tool_id == standing.tool_id:
            raise domain.UnknownTool(f"there is no other tool {into!r} to merge {slug!r} into")
        await connection.execute(
            text("UPDATE tools SET merged_into = :target WHERE tool_id = :tool_id"),
            {"target": target.tool_id, "tool_id": standing.tool_id},
        )
    if standing.tool.status == "retired":
        await touch(connection)
        return Published(standing.tool_id, slug, standing.version, "unchanged")
    return await _new_version(connection, standing, standing.tool.retired(), standing.origin, now, "retired")


async def find(connection: AsyncConnection, slug: str) -> OnRecord | None:
    """The tool with exactly this slug, retired or not."""
    row = (await connection.execute(text("SELECT * FROM tools WHERE slug = :slug"), {"slug": slug})).one_or_none()
    return _on_record(row) if row else None


async def by_ids(connection: AsyncConnection, tool_ids: list[str]) -> list[OnRecord]:
    """Published tools of these ids, by name."""
    rows = await connection.execute(
        text("SELECT * FROM tools WHERE tool_id = ANY(:ids) AND status = 'published' ORDER BY lower(name), slug"),
        {"ids": [UUID(tool_id) for tool_id in tool_ids]},
    )
    return [_on_record(row) for row in rows]


async def everything(connection: AsyncConnection, *, retired: bool = False) -> list[OnRecord]:
    """Every published tool (and, asked for, the retired ones), by name."""
    rows = await connection.execute(
        text("SELECT * FROM tools WHERE status = 'published' OR :retired ORDER BY lower(name), slug"),
        {"retired": retired},
    )
    return [_on_record(row) for row in rows]


async def forwarded(connection: AsyncConnection, address: str) -> str | None:
    """The slug that an old or other name leads to: where a tool was merged, or the one tool with that alias."""
    row = (
        await connection.execute(
            text("SELECT t.slug FROM tools o JOIN tools t ON t.tool_id = o.merged_into WHERE o.slug = :address"),
            {"address": address},
        )
    ).one_or_none()
    if row is None:
        rows = (
            await connection.execute(
                text(
                    "SELECT t.slug FROM tool_aliases a JOIN tools t USING (tool_id)"
                    " WHERE a.address = :address AND t.status = 'published'"
                ),
                {"address": address},
            )
        ).all()
        row = rows[0] if len(rows) == 1 else None
    return str(row.slug) if row else None


async def _lock(connection: AsyncConnection, slug: str) -> OnRecord | None:
    row = (
        await connection.execute(text("SELECT * FROM tools WHERE slug = :slug FOR UPDATE"), {"slug": slug})
    ).one_or_none()
    return _on_record(row) if row else None


async def _insert(connection: AsyncConnection, tool_id: str, tool: domain.Tool, origin: str, now: datetime) -> bool:
    inserted = await connection.execute(
        text(
            "INSERT INTO tools (tool_id, slug, version, status, name, vendor, category, family, record, content_hash,"
            " origin, first_published_at, published_at)"
            " VALUES (:tool_id, :slug, 1, :status, :name, :vendor, :category, :family, CAST(:record AS jsonb), :hash,"
            " :origin, :now, :now) ON CONFLICT DO NOTHING RETURNING tool_id"
        ),
        _columns(tool_id, tool, origin, now),
    )
    return inserted.one_or_none() is not None


async def _new_version(
    connection: AsyncConnection, standing: OnRecord, tool: domain.Tool, origin: str, now: datetime, outcome: Outcome
) -> Published:
    version = standing.version + 1
    await connection.execute(
        text(
            "UPDATE tools SET version = :version, status = :status, name = :name, vendor = :vendor,"
            " category = :category, family = :family, record = CAST(:record AS jsonb), content_hash = :hash,"
            " origin = :origin, published_at = :now,"
            " merged_into = CASE WHEN :status = 'retired' THEN merged_into END WHERE tool_id = :tool_id"
        ),
        {**_columns(standing.tool_id, tool, origin, now), "version": version},
    )
    await _announce(connection, standing.tool_id, version, tool, origin, now)
    return Published(standing.tool_id, tool.slug, version, outcome)


async def _announce(
    connection: AsyncConnection, tool_id: str, version: int, tool: domain.Tool, origin: str, now: datetime
) -> None:
    await connection.execute(
        text(
            "INSERT INTO tool_versions (tool_id, version, record, content_hash, origin, published_at)"
            " VALUES (:tool_id, :version, CAST(:record AS jsonb), :hash, :origin, :now)"
        ),
        {**_columns(tool_id, tool, origin, now), "version": version},
    )
    await connection.execute(text("DELETE FROM tool_aliases WHERE tool_id = :tool_id"), {"tool_id": tool_id})
    aliases = {domain.address_of(alias): alias for alias in (tool.name, *tool.aliases)}
    for address, alias in sorted(aliases.items()):
        if address and address != tool.slug:
            await connection.execute(
                text("INSERT INTO tool_aliases (address, tool_id, alias) VALUES (:address, :tool_id, :alias)"),
                {"address": address, "tool_id": tool_id, "alias": alias},
            )
    await publish(connection, Event(data=event_of(tool_id, version, tool, now), source="/shipjury/catalog", time=now))
    await touch(connection)


def event_of(tool_id: str, version: int, tool: domain.Tool, now: datetime) -> ToolPublished:
    """What the others are told of a version of a tool."""
    return ToolPublished(
        aggregate_version=version,
        tool_id=tool_id,
        status="retired" if tool.status == "retired" else "published",
        slug=tool.slug,
        name=tool.name,
        vendor=tool.vendor,
        category=tool.category,
        tagline=tool.tagline,
        description=tool.description,
        website=tool.website,
        pricing=v1.Pricing.model_validate(
            {"summary": tool.pricing.summary, "model": tool.pricing.model, "free_entry": tool.pricing.free_entry}
        ),
        best_for=tool.best_for,
        aliases=tool.aliases,
        family=tool.family.name if tool.family else None,
        facts=tuple(v1.Fact.model_validate(asdict(fact)) for fact in tool.facts),
        content_hash=tool.content_hash,
        published_at=now,
    )


def _columns(tool_id: str, tool: domain.Tool, origin: str, now: datetime) -> Mapping[str, Any]:
    return {
        "tool_id": UUID(tool_id),
        "slug": tool.slug,
        "status": tool.status,
        "name": tool.name,
        "vendor": tool.vendor,
        "category": tool.category,
        "family": tool.family.name if tool.family else None,
        "record": json.dumps(asdict(tool), default=str, ensure_ascii=False),
        "hash": tool.content_hash,
        "origin": origin,
        "now": now,
    }


def _on_record(row: Row[Any]) -> OnRecord:
    return OnRecord(
        tool_id=str(row.tool_id),
        version=row.version,
        tool=_TOOL.validate_python(row.record),
        content_hash=row.content_hash,
        origin=row.origin,
        first_published_at=row.first_published_at,
        published_at=row.published_at,
    )
