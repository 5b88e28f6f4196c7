"""Long work as rows: claimed with SKIP LOCKED, held by a renewed lease, finished once."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import jobs
from .telemetry import current_traceparent

CHANNEL = "shipjury_jobs"


class LeaseLost(Exception):
    """Another worker holds this job by now; the transaction must not be committed."""


@dataclass(frozen=True)
class Job:
    """A claimed job. ``attempt`` counts from 1. ``lease`` is the token that :func:`complete` checks."""

    id: int
    kind: str
    key: str
    payload: Mapping[str, Any]
    attempt: int
    lease: str
    traceparent: str | None


@dataclass(frozen=True)
class JobHandler:
    """What a worker does with the jobs of one kind.

    ``handle`` runs outside any transaction, for as long as it needs; the lease is renewed meanwhile, and ``handle``
    is cancelled when the lease is lost. It ends the job with :func:`complete` in its own last transaction; where it
    does not, the job is completed when it returns. An exception means another attempt, with back-off, up to
    ``max_attempts``; then the job is dead, with its error, for an operator to see.
    """

    kind: str
    handle: Callable[[Job], Awaitable[None]]
    concurrency: int = 1
    lease: timedelta = timedelta(seconds=30)
    max_attempts: int = 8
    back_off: timedelta = timedelta(seconds=5)
    """Wait before the second attempt; it doubles with each one, up to ``longest_back_off``."""
    longest_back_off: timedelta = timedelta(minutes=10)


async def enqueue(
    connection: AsyncConnection,
    kind: str,
    key: str,
    payload: Mapping[str, Any],
    *,
    not_before: datetime | None = None,
) -> bool:
    """Store a job within the caller's transaction; idempotent by kind and key. Returns whether it is new.

    A key stays taken while its job's row is kept, finished or not (``job_retention``).
    """
    row: dict[str, Any] = {
        "kind": kind,
        "key": key,
        "payload": dict(payload),
        "traceparent": current_traceparent(),
    }
    if not_before is not None:
        row["not_before"] = not_before
    new = await connection.scalar(
        insert(jobs).values(row).on_conflict_do_nothing(index_elements=["kind", "key"]).returning(jobs.c.id)
    )
    if new is not None:
        await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, kind)))
    return new is not None


async def complete(connection: AsyncConnection, job: Job) -> None:
    """Finish a job within the caller's transaction. Raises :class:`LeaseLost` where it is no longer ours."""
    finished = await connection.scalar(
        sa.update(jobs)
        .where(jobs.c.id == job.id, jobs.c.lease == job.lease, jobs.c.state == "running")
        .values(state="done", finished_at=sa.func.now(), leased_until=None, error=None)
        .returning(jobs.c.id)
    )
    if finished is None:
        raise LeaseLost(f"job {job.id} ({job.kind} {job.key}) is not held by this worker any more")
