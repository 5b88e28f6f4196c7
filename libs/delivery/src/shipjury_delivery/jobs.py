"""Long work as rows: claimed with SKIP LOCKED, held by a renewed lease, finished once."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection


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


async def enqueue(
    connection: AsyncConnection,
    kind: str,
    key: str,
    payload: Mapping[str, Any],
    *,
    not_before: datetime | None = None,
) -> bool:
    """Store a job within the caller's transaction; idempotent by kind and key. Returns whether it is new."""
    raise NotImplementedError


async def complete(connection: AsyncConnection, job: Job) -> None:
    """Finish a job within the caller's transaction. Raises :class:`LeaseLost` where it is no longer ours."""
    raise NotImplementedError
