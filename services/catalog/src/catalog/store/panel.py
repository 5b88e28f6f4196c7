"""What the panel says: verdicts with their history, comparisons, reviewers. Each is folded once, by its version."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import ComparisonIssued, ReviewerRated, VerdictIssued

from ..domain.verdict import DEFAULT_EDGES, ReviewerMark, Span, Summary

SUMMARY = TypeAdapter(Summary)


async def keep_verdict(connection: AsyncConnection, verdict: VerdictIssued) -> bool:
    """Keep a verdict; whether it was new. One that comes late takes its place in the history."""
    result = await connection.execute(
        text(
            "INSERT INTO verdicts (tool_id, version, verdict_id, issued_at, verdict, summary, event)"
            " VALUES (:tool_id, :version, :verdict_id, :issued_at, :verdict, CAST(:summary AS jsonb),"
            " CAST(:event AS jsonb)) ON CONFLICT DO NOTHING"
        ),
        {
            "tool_id": UUID(verdict.tool_id),
            "version": verdict.aggregate_version,
            "verdict_id": UUID(verdict.verdict_id),
            "issued_at": verdict.issued_at,
            "verdict": verdict.verdict,
            "summary": json.dumps(asdict(summary_of(verdict)), default=str),
            "event": verdict.model_dump_json(),
        },
    )
    return bool(result.rowcount)


async def keep_comparison(connection: AsyncConnection, comparison: ComparisonIssued) -> bool:
    """Keep a comparison; whether it was newer than what stood."""
    result = await connection.execute(
        text(
            "INSERT INTO comparisons AS c (comparison_id, version, a_verdict_id, b_verdict_id, issued_at, event)"
            " VALUES (:id, :version, :a, :b, :issued_at, CAST(:event AS jsonb))"
            " ON CONFLICT (comparison_id) DO UPDATE SET version = excluded.version, a_verdict_id ="
            " excluded.a_verdict_id, b_verdict_id = excluded.b_verdict_id, issued_at = excluded.issued_at,"
            " event = excluded.event WHERE c.version < excluded.version"
        ),
        {
            "id": comparison.comparison_id,
            "version": comparison.aggregate_version,
            "a": UUID(comparison.a.verdict_id),
            "b": UUID(comparison.b.verdict_id),
            "issued_at": comparison.issued_at,
            "event": comparison.model_dump_json(),
        },
    )
    return bool(result.rowcount)


async def keep_reviewer(connection: AsyncConnection, rated: ReviewerRated) -> bool:
    """Keep what is known of a persona on a model; whether it was newer than what stood."""
    result = await connection.execute(
        text(
            "INSERT INTO reviewers AS r (reviewer_id, version, persona, rated_at, event)"
            " VALUES (:id, :version, :persona, :rated_at, CAST(:event AS jsonb))"
            " ON CONFLICT (reviewer_id) DO UPDATE SET version = excluded.version, rated_at = excluded.rated_at,"
            " event = excluded.event WHERE r.version < excluded.version"
        ),
        {
            "id": rated.reviewer_id,
            "version": rated.aggregate_version,
            "persona": rated.persona,
            "rated_at": rated.rated_at,
            "event": rated.model_dump_json(),
        },
    )
    return bool(result.rowcount)


async def standing_verdict(connection: AsyncConnection, tool_id: str) -> VerdictIssued | None:
    """The newest verdict on a tool, whole."""
    row = (
        await connection.execute(
            text("SELECT event FROM verdicts WHERE tool_id = :tool_id ORDER BY version DESC LIMIT 1"),
            {"tool_id": UUID(tool_id)},
        )
    ).one_or_none()
    return VerdictIssued.model_validate(row.event) if row else None


async def history(connection: AsyncConnection, tool_id: str) -> list[Summary]:
    """Every verdict on a tool, newest first."""
    rows = await connection.execute(
        text("SELECT summary FROM verdicts WHERE tool_id = :tool_id ORDER BY version DESC LIMIT 50"),
        {"tool_id": UUID(tool_id)},
    )
    return [SUMMARY.validate_python(row.summary) for row in rows]


@dataclass(frozen=True)
class Issued:
    """A verdict as a feed tells it."""

    tool_id: str
    slug: str
    name: str
    summary: Summary


async def newest(connection: AsyncConnection, limit: int) -> list[Issued]:
    """Verdicts on published tools, newest first, every one of a tool's history."""
    rows = await connection.execute(
        text(
            "SELECT t.tool_id, t.slug, t.name, v.summary FROM verdicts v JOIN tools t USING (tool_id)"
            " WHERE t.status = 'published' ORDER BY v.issued_at DESC, v.verdict_id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [Issued(str(row.tool_id), row.slug, row.name, SUMMARY.validate_python(row.summary)) for row in rows]


async def comparison(connection: AsyncConnection, tool_ids: tuple[str, str]) -> ComparisonIssued | None:
    """The panel's own comparison of two tools, where it stands on both tools' newest verdicts."""
    row = (
        await connection.execute(
            text(
                "WITH standing AS (SELECT DISTINCT ON (tool_id) tool_id, verdict_id FROM verdicts"
                " WHERE tool_id IN (:a, :b) ORDER BY tool_id, version DESC)"
                " SELECT c.event FROM comparisons c"
                " JOIN standing a ON a.tool_id = :a AND a.verdict_id = c.a_verdict_id"
                " JOIN standing b ON b.tool_id = :b AND b.verdict_id = c.b_verdict_id"
                " WHERE c.comparison_id = :id"
            ),
            {"id": ":".join(sorted(tool_ids)), "a": UUID(min(tool_ids)), "b": UUID(max(tool_ids))},
        )
    ).one_or_none()
    return ComparisonIssued.model_validate(row.event) if row else None


async def newest_comparisons(connection: AsyncConnection, limit: int) -> list[ComparisonIssued]:
    """The panel's own comparisons, newest first."""
    rows = await connection.execute(
        text("SELECT event FROM comparisons ORDER BY issued_at DESC LIMIT :limit"), {"limit": limit}
    )
    return [ComparisonIssued.model_validate(row.event) for row in rows]


async def reviewers(connection: AsyncConnection) -> list[ReviewerRated]:
    """Every persona on every model, newest rating first."""
    rows = await connection.execute(text("SELECT event FROM reviewers ORDER BY rated_at DESC, reviewer_id"))
    return [ReviewerRated.model_validate(row.event) for row in rows]


def summary_of(verdict: VerdictIssued) -> Summary:
    """What lists show of a verdict."""
    old: Any = verdict.supersedes
    return Summary(
        verdict_id=verdict.verdict_id,
        verdict=verdict.verdict,
        score=verdict.score,
        interval=Span(verdict.interval.low, verdict.interval.high) if verdict.interval else None,
        ship=verdict.counts.ship,
        skip=verdict.counts.skip,
        undecided=verdict.counts.undecided,
        abstain=verdict.counts.abstain,
        ship_share=verdict.ship_share,
        reviewers=tuple(
            ReviewerMark(review.persona, review.persona_name, review.verdict, review.score)
            for review in verdict.reviews
            if not review.recused
        ),
        issued_at=verdict.issued_at,
        level=verdict.level,
        effective_votes=verdict.agreement.effective_votes,
        number=verdict.aggregate_version,
        cause=old.cause if old else None,
        explanation=old.explanation if old else "",
        before=old.verdict if old and old.verdict != verdict.verdict else None,
        edges=_edges(verdict.manifest.parameters),
    )


def _edges(parameters: Mapping[str, str]) -> tuple[float, float]:
    try:
        return float(parameters["skip_below"]), float(parameters["ship_at"])
    except (KeyError, ValueError):
        return DEFAULT_EDGES
