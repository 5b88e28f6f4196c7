"""Runs: what was read for one judgement, and the reviews that came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils import uuid7

from shipjury_schemas import ToolPublished
from shipjury_schemas.verdict_issued.v1 import Review

from .tables import readings, reviews, runs


@dataclass(frozen=True)
class Run:
    """One judgement of one version of a tool by one judge."""

    run_id: str
    tool: ToolPublished
    exam_id: str
    exam_taken_at: datetime
    judge: Mapping[str, str | None]
    prompt_hash: str
    state: str


@dataclass(frozen=True)
class Kept:
    """A difference as it was read."""

    difference: float
    request_id: str | None
    cost_nano_usd: int | None


async def begin(
    connection: AsyncConnection,
    job_key: str,
    tool: ToolPublished,
    exam_id: str,
    exam_taken_at: datetime,
    judge: Mapping[str, str | None],
    prompt_hash: str,
    now: datetime,
) -> Run:
    """The run of a job: a new one, or the one that was begun before a crash."""
    values = {
        "run_id": str(uuid7()),
        "job_key": job_key,
        "tool_id": tool.tool_id,
        "tool_version": tool.aggregate_version,
        "exam_id": exam_id,
        "exam_taken_at": exam_taken_at,
        "judge": dict(judge),
        "prompt_hash": prompt_hash,
        "document": tool.model_dump(mode="json"),
        "started_at": now,
    }
    await connection.execute(insert(runs).values(values).on_conflict_do_nothing(index_elements=["job_key"]))
    found = await connection.execute(sa.select(runs).where(runs.c.job_key == job_key))
    return _run(found.mappings().one())


async def get(connection: AsyncConnection, run_id: str) -> Run | None:
    """A run by its id."""
    row = (await connection.execute(sa.select(runs).where(runs.c.run_id == run_id))).mappings().first()
    return _run(row) if row else None


def _run(row: sa.RowMapping) -> Run:
    return Run(
        run_id=row["run_id"],
        tool=ToolPublished.model_validate(row["document"]),
        exam_id=row["exam_id"],
        exam_taken_at=row["exam_taken_at"],
        judge=row["judge"],
        prompt_hash=row["prompt_hash"],
        state=row["state"],
    )


async def end(connection: AsyncConnection, run_id: str, state: str, now: datetime) -> None:
    """Close a run: issued, outdated or refused."""
    await connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(state=state, finished_at=now))


async def restart(connection: AsyncConnection, run_id: str) -> None:
    """Forget a run whose grounds changed while it waited (another judge, other prompts), with its reviews."""
    await connection.execute(sa.delete(reviews).where(reviews.c.run_id == run_id))
    await connection.execute(sa.delete(runs).where(runs.c.run_id == run_id))


async def keep_reading(
    connection: AsyncConnection, judge_key: str, prompt_hash: str, run_id: str, reading: Kept
) -> None:
    """Keep what a call gave; two runs that read the same fact keep the first."""
    await connection.execute(
        insert(readings)
        .values(
            judge_key=judge_key,
            prompt_hash=prompt_hash,
            difference=reading.difference,
            run_id=run_id,
            request_id=reading.request_id,
            cost_nano_usd=reading.cost_nano_usd,
        )
        .on_conflict_do_nothing()
    )


async def known_readings(connection: AsyncConnection, judge_key: str, prompt_hashes: Sequence[str]) -> dict[str, Kept]:
    """What is known of these prompts already."""
    query = sa.select(readings).where(readings.c.judge_key == judge_key, readings.c.prompt_hash.in_(prompt_hashes))
    return {
        row["prompt_hash"]: Kept(row["difference"], row["request_id"], row["cost_nano_usd"])
        for row in (await connection.execute(query)).mappings()
    }


async def forget_readings(connection: AsyncConnection, judge_key: str) -> None:
    """Forget the readings of an exam whose figures are recorded."""
    await connection.execute(sa.delete(readings).where(readings.c.judge_key == judge_key))


@dataclass(frozen=True)
class Calls:
    """The calls to the gateway that a run made itself; a fact that was read before costs nothing again."""

    requests: int
    cost_nano_usd: int | None


async def calls_of(connection: AsyncConnection, run_id: str) -> Calls:
    """How many calls a run made and what they cost; the cost is unknown where any call's is."""
    row = (
        await connection.execute(
            sa.select(
                sa.func.count(), sa.func.count(readings.c.cost_nano_usd), sa.func.sum(readings.c.cost_nano_usd)
            ).where(readings.c.run_id == run_id)
        )
    ).one()
    requests, priced, cost = row
    return Calls(requests, int(cost or 0) if priced == requests else None)


async def keep_review(connection: AsyncConnection, run_id: str, review: Review, now: datetime) -> None:
    """Keep a finished review; unique by run and persona."""
    await connection.execute(
        insert(reviews)
        .values(
            review_id=review.review_id,
            run_id=run_id,
            persona=review.persona,
            document=review.model_dump(mode="json"),
            finished_at=now,
        )
        .on_conflict_do_nothing()
    )


async def reviews_of(connection: AsyncConnection, run_id: str) -> dict[str, Review]:
    """The finished reviews of a run, by persona."""
    query = sa.select(reviews.c.document).where(reviews.c.run_id == run_id)
    found = [Review.model_validate(document) for document in await connection.scalars(query)]
    return {review.persona: review for review in found}


def judge_document(model: str, weights: str | None, engine: str | None) -> dict[str, Any]:
    """What judged, as it is kept with a run."""
    return {"model": model, "weights": weights, "engine": engine}
