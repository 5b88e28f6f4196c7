"""Verdicts and comparisons that were issued."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONPATH, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import publish
from shipjury_schemas import ComparisonIssued, Event, VerdictIssued

from .tables import comparisons, verdicts

SOURCE = "/shipjury/panel"


async def issue(connection: AsyncConnection, verdict: VerdictIssued, run_id: str) -> None:
    """Store a verdict and its event together. The caller holds the tool's row."""
    await connection.execute(
        sa.insert(verdicts).values(
            verdict_id=verdict.verdict_id,
            run_id=run_id,
            tool_id=verdict.tool_id,
            aggregate_version=verdict.aggregate_version,
            document=verdict.model_dump(mode="json"),
            issued_at=verdict.issued_at,
        )
    )
    await publish(connection, Event(data=verdict, source=SOURCE, time=verdict.issued_at))


async def latest(connection: AsyncConnection, tool_id: str) -> VerdictIssued | None:
    """The verdict that stands."""
    found = await history(connection, tool_id, limit=1)
    return found[0] if found else None


async def history(connection: AsyncConnection, tool_id: str, limit: int = 50) -> Sequence[VerdictIssued]:
    """The tool's verdicts, newest first."""
    query = (
        sa.select(verdicts.c.document)
        .where(verdicts.c.tool_id == tool_id)
        .order_by(verdicts.c.aggregate_version.desc())
        .limit(limit)
    )
    return [VerdictIssued.model_validate(document) for document in await connection.scalars(query)]


async def standing_votes(connection: AsyncConnection, but: str) -> list[list[str]]:
    """The reviewers' verdicts in every standing verdict but one tool's: what agreement is computed over."""
    newest = sa.select(
        verdicts.c.document,
        sa.func.row_number()
        .over(partition_by=verdicts.c.tool_id, order_by=verdicts.c.aggregate_version.desc())
        .label("place"),
        verdicts.c.tool_id,
    ).where(verdicts.c.tool_id != but)
    standing = newest.subquery()
    votes = sa.func.jsonb_path_query_array(standing.c.document, sa.cast("$.reviews[*].verdict", JSONPATH))
    query = sa.select(votes).where(standing.c.place == 1).order_by(standing.c.tool_id)
    return [list(row) for row in await connection.scalars(query)]


async def count(connection: AsyncConnection) -> tuple[int, int]:
    """Tools with a verdict, and verdicts in all."""
    row = (
        await connection.execute(
            sa.select(sa.func.count(sa.distinct(verdicts.c.tool_id)), sa.func.count()).select_from(verdicts)
        )
    ).one()
    return int(row[0]), int(row[1])


async def next_comparison_version(connection: AsyncConnection, comparison_id: str) -> int:
    """The version that the next comparison of a pair has. Holds the pair to the end of the transaction."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(comparison_id, 0))))
    known = await connection.scalar(
        sa.select(comparisons.c.aggregate_version).where(comparisons.c.comparison_id == comparison_id)
    )
    return int(known or 0) + 1


async def issue_comparison(connection: AsyncConnection, comparison: ComparisonIssued) -> None:
    """Store a comparison and its event together."""
    statement = insert(comparisons).values(
        comparison_id=comparison.comparison_id,
        aggregate_version=comparison.aggregate_version,
        document=comparison.model_dump(mode="json"),
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["comparison_id"],
            set_={
                "aggregate_version": statement.excluded.aggregate_version,
                "document": statement.excluded.document,
            },
        )
    )
    await publish(connection, Event(data=comparison, source=SOURCE, time=comparison.issued_at))
