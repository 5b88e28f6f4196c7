"""Exam records, and what is told of reviewers."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import publish
from shipjury_schemas import Event, ReviewerRated

from .tables import exams, ratings
from .verdicts import SOURCE


async def keep(connection: AsyncConnection, document: dict[str, Any], taken_at: datetime, *, shipped: bool) -> None:
    """Keep an exam record; the same one twice is one."""
    await connection.execute(
        insert(exams)
        .values(exam_id=document["exam_id"], taken_at=taken_at, shipped=shipped, document=document)
        .on_conflict_do_nothing()
    )


async def newest(connection: AsyncConnection, exam_id: str) -> tuple[dict[str, Any], bool] | None:
    """The record that holds for a judge, and whether it only came with the package. One sat here comes first."""
    query = (
        sa.select(exams.c.document, exams.c.shipped)
        .where(exams.c.exam_id == exam_id)
        .order_by(exams.c.shipped, exams.c.taken_at.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).first()
    return (row.document, row.shipped) if row else None


async def at(connection: AsyncConnection, exam_id: str, taken_at: datetime) -> dict[str, Any] | None:
    """The record that a run stood on."""
    found: dict[str, Any] | None = await connection.scalar(
        sa.select(exams.c.document).where(exams.c.exam_id == exam_id, exams.c.taken_at == taken_at)
    )
    return found


async def all_records(connection: AsyncConnection) -> list[tuple[dict[str, Any], bool]]:
    """Every record, newest first."""
    rows = await connection.execute(sa.select(exams.c.document, exams.c.shipped).order_by(exams.c.taken_at.desc()))
    return [(row.document, row.shipped) for row in rows]


async def rate(connection: AsyncConnection, rating: ReviewerRated) -> bool:
    """Publish what is known of a reviewer, unless just that was published already. Returns whether it was."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(rating.reviewer_id, 1))))
    known = (
        (await connection.execute(sa.select(ratings).where(ratings.c.reviewer_id == rating.reviewer_id)))
        .mappings()
        .first()
    )
    told = {"aggregate_version", "rated_at"}
    if known and ReviewerRated.model_validate(known["document"]).model_dump(exclude=told) == rating.model_dump(
        exclude=told
    ):
        return False
    rating = rating.model_copy(update={"aggregate_version": (known["aggregate_version"] if known else 0) + 1})
    statement = insert(ratings).values(
        reviewer_id=rating.reviewer_id,
        aggregate_version=rating.aggregate_version,
        document=rating.model_dump(mode="json"),
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["reviewer_id"],
            set_={
                "aggregate_version": statement.excluded.aggregate_version,
                "document": statement.excluded.document,
            },
        )
    )
    await publish(connection, Event(data=rating, source=SOURCE, time=rating.rated_at))
    return True
