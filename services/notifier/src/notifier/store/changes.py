"""What consumers fold: verdicts and comparisons since the last issue, and where each tool stands."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ..domain.digest import Change, Standing


async def newer_verdict(
    connection: AsyncConnection,
    *,
    tool_id: str,
    slug: str,
    name: str,
    category: str,
    verdict: str,
    score: float | None,
    panel_share: float | None,
    version: int,
) -> bool:
    """Fold a verdict into the tool's standing; whether it is newer than what was there."""
    result = await connection.execute(
        text(
            "INSERT INTO tools (tool_id, slug, name, category, verdict, score, panel_share, verdict_version)"
            " VALUES (:tool_id, :slug, :name, :category, :verdict, :score, :panel_share, :version)"
            " ON CONFLICT (tool_id) DO UPDATE SET slug = excluded.slug, name = excluded.name,"
            " category = excluded.category, verdict = excluded.verdict, score = excluded.score,"
            " panel_share = excluded.panel_share, verdict_version = excluded.verdict_version"
            " WHERE tools.verdict_version < excluded.verdict_version RETURNING 1"
        ),
        {
            "tool_id": tool_id,
            "slug": slug,
            "name": name,
            "category": category,
            "verdict": verdict,
            "score": score,
            "panel_share": panel_share,
            "version": version,
        },
    )
    return result.first() is not None


async def fold_tally(connection: AsyncConnection, *, tool_id: str, ship: int, skip: int, version: int) -> None:
    """Fold a tally into the tool's standing, where it is newer."""
    await connection.execute(
        text(
            "INSERT INTO tools (tool_id, slug, name, ship, skip, tally_version)"
            " VALUES (:tool_id, '', '', :ship, :skip, :version)"
            " ON CONFLICT (tool_id) DO UPDATE SET ship = excluded.ship, skip = excluded.skip,"
            " tally_version = excluded.tally_version WHERE tools.tally_version < excluded.tally_version"
        ),
        {"tool_id": tool_id, "ship": ship, "skip": skip, "version": version},
    )


async def record(connection: AsyncConnection, change: Change, event_id: str) -> int | None:
    """Keep a change for the next issue; its id, or ``None`` where it is known already. ``change.id`` is ignored."""
    result = await connection.execute(
        text(
            "INSERT INTO changes (event_id, kind, tool_id, slug, name, category, verdict, score, previous, why,"
            " summary, level, issued_at, traceparent) VALUES (:event_id, :kind, :tool_id, :slug, :name, :category,"
            " :verdict, :score, :previous, :why, :summary, :level, :issued_at, :traceparent)"
            " ON CONFLICT (event_id) DO NOTHING RETURNING id"
        ),
        {
            "event_id": event_id,
            "kind": change.kind,
            "tool_id": change.tool_id,
            "slug": change.slug,
            "name": change.name,
            "category": change.category,
            "verdict": change.verdict,
            "score": change.score,
            "previous": change.previous,
            "why": change.why,
            "summary": change.summary,
            "level": change.level,
            "issued_at": change.issued_at,
            "traceparent": change.traceparent,
        },
    )
    return result.scalar()


async def queue_flip_mails(
    connection: AsyncConnection, change_id: int, tool_id: str, now: datetime, traceparent: str | None
) -> int:
    """Queue a mail to each subscriber who asked to be told when this tool's verdict flips; how many."""
    result = await connection.execute(
        text(
            "INSERT INTO deliveries (id, kind, subscriber_id, change_id, domain, not_before, created_at, traceparent)"
            " SELECT gen_random_uuid(), 'flip', id, :change_id, lower(split_part(email, '@', 2)), :now, :now,"
            " :traceparent FROM subscribers"
            " WHERE state = 'confirmed' AND frequency = 'flips' AND :tool_id = ANY (tools)"
            " ON CONFLICT DO NOTHING"
        ),
        {"change_id": change_id, "tool_id": tool_id, "now": now, "traceparent": traceparent},
    )
    if result.rowcount:
        await connection.execute(text("SELECT pg_notify('deliveries', '')"))
    return result.rowcount


async def pending(connection: AsyncConnection, until: datetime) -> Sequence[Change]:
    """Changes up to ``until`` that no issue has claimed; one that was committed late among them."""
    result = await connection.execute(
        text("SELECT * FROM changes WHERE digest_id IS NULL AND issued_at <= :until ORDER BY id"), {"until": until}
    )
    return [_change(dict(row)) for row in result.mappings()]


async def get(connection: AsyncConnection, change_id: int) -> Change | None:
    """One change."""
    result = await connection.execute(text("SELECT * FROM changes WHERE id = :id"), {"id": change_id})
    row = result.mappings().first()
    return None if row is None else _change(dict(row))


async def standings(connection: AsyncConnection) -> Sequence[Standing]:
    """Where every tool with a verdict stands."""
    result = await connection.execute(
        text(
            "SELECT tool_id, slug, name, category, verdict, panel_share, ship, skip FROM tools"
            " WHERE verdict IS NOT NULL ORDER BY slug"
        )
    )
    return [Standing(**row) for row in result.mappings()]


def _change(row: dict[str, object]) -> Change:
    names = Change.__dataclass_fields__.keys()
    return Change(**{name: value for name, value in row.items() if name in names})  # type: ignore[arg-type]
