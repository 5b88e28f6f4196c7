"""Running jobs: claim with SKIP LOCKED, renew the lease, end once, give back what a stopping worker holds."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
import structlog
from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncEngine

from .back_off import BackOff, pause
from .consume import Permanent
from .jobs import Job, JobHandler, LeaseLost, complete
from .metrics import JOB_SECONDS
from .tables import jobs
from .telemetry import links_to, tracer

_log = structlog.get_logger("shipjury.jobs")

_ERROR_CHARACTERS = 2000

_CLAIM = sa.text(
    """
    UPDATE jobs SET state = 'running', attempt = attempt + 1, lease = :lease,
                    leased_until = clock_timestamp() + CAST(:seconds AS double precision) * interval '1 second'
    WHERE id = (
        SELECT id FROM jobs
        WHERE kind = :kind AND not_before <= clock_timestamp() AND attempt < :most
          AND (state = 'ready' OR (state = 'running' AND leased_until < clock_timestamp()))
        ORDER BY not_before, id
        FOR UPDATE SKIP LOCKED LIMIT 1
    )
    RETURNING id, kind, key, payload, attempt, lease, traceparent
    """
)
_BURY_EXHAUSTED = sa.text(
    """
    UPDATE jobs SET state = 'dead', finished_at = clock_timestamp(), leased_until = NULL,
                    error = coalesce(error || '; ', '') || 'its worker died in the last attempt'
    WHERE kind = :kind AND state = 'running' AND leased_until < clock_timestamp() AND attempt >= :most
    """
)
_RENEW = sa.text(
    """
    UPDATE jobs SET leased_until = clock_timestamp() + CAST(:seconds AS double precision) * interval '1 second'
    WHERE id = :id AND lease = :lease AND state = 'running' RETURNING id
    """
)


class JobRunner:
    """Runs the jobs of one kind. ``wake`` is set when there may be a new one."""

    def __init__(
        self,
        service: str,
        engine: AsyncEngine,
        handler: JobHandler,
        wake: asyncio.Event,
        *,
        poll_seconds: float = 2.0,
        drain_seconds: float = 5.0,
    ) -> None:
        self._service = service
        self._engine = engine
        self._handler = handler
        self._wake = wake
        self._poll_seconds = poll_seconds
        self._drain_seconds = drain_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``; then let running jobs end for a few seconds, and give the others back."""
        free = asyncio.Semaphore(self._handler.concurrency)
        running: set[asyncio.Task[None]] = set()
        back_off = BackOff(0.5, 15)
        while not stop.is_set():
            await _acquire(free, stop)
            if stop.is_set():
                break
            self._wake.clear()
            try:
                job = await self._claim()
                back_off.reset()
            except Exception as error:  # noqa: BLE001 - the database is away, or a fault of ours: wait, try again
                free.release()
                _log.warning("jobs cannot be claimed", kind=self._handler.kind, error=type(error).__name__)
                await pause(stop, back_off.next())
                continue
            if job is None:
                free.release()
                await pause(stop, self._poll_seconds, self._wake)
                continue
            task = asyncio.create_task(self._work(job))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: free.release())
        await self._drain(running)

    async def _drain(self, running: set[asyncio.Task[None]]) -> None:
        if running:
            await asyncio.wait(running, timeout=self._drain_seconds)
        left = list(running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _claim(self) -> Job | None:
        handler = self._handler
        async with self._engine.begin() as connection:
            await connection.execute(_BURY_EXHAUSTED, {"kind": handler.kind, "most": handler.max_attempts})
            row = (
                await connection.execute(
                    _CLAIM,
                    {
                        "kind": handler.kind,
                        "most": handler.max_attempts,
                        "lease": str(uuid4()),
                        "seconds": handler.lease.total_seconds(),
                    },
                )
            ).one_or_none()
        return Job(row.id, row.kind, row.key, row.payload, row.attempt, row.lease, row.traceparent) if row else None

    async def _work(self, job: Job) -> None:
        """One attempt, from claim to end. An error of our own leaves the job to its lease."""
        began = time.perf_counter()
        outcome = "failed"
        with tracer("delivery").start_as_current_span(
            f"job {job.kind}",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            kind=trace.SpanKind.CONSUMER,
            links=links_to([job.traceparent]),
            attributes={"shipjury.job.id": job.id, "shipjury.job.attempt": job.attempt},
        ):
            try:
                outcome = await self._attempt(job)
            except asyncio.CancelledError:
                outcome = "released"
                await asyncio.shield(self._release(job))
            except Exception as error:  # noqa: BLE001 - the lease runs out and somebody tries again
                _log.warning("job is left to its lease", job=job.id, kind=job.kind, error=type(error).__name__)
        JOB_SECONDS.labels(self._service, job.kind, outcome).observe(time.perf_counter() - began)

    async def _attempt(self, job: Job) -> str:
        """Run the handler while the lease is renewed. Returns how it ended."""
        handling = asyncio.create_task(_handle(self._handler, job))
        renewing = asyncio.create_task(self._renew(job))
        try:
            await asyncio.wait({handling, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if not handling.done():  # the lease is lost: somebody else does it by now
                _log.warning("job cancelled: its lease is lost", job=job.id, kind=job.kind)
                return "lost"
            error = handling.exception()
            if isinstance(error, LeaseLost):
                _log.warning("job not finished: its lease is lost", job=job.id, kind=job.kind)
                return "lost"
            if error is not None:
                return await self._fail(job, error)
            await self._finish(job)
            return "done"
        finally:
            for task in (handling, renewing):
                task.cancel()
            await asyncio.gather(handling, renewing, return_exceptions=True)

    async def _renew(self, job: Job) -> None:
        """Renew until the lease is lost: taken by another, or run out while the database was away."""
        lease = self._handler.lease.total_seconds()
        good_until = time.monotonic() + lease
        while time.monotonic() < good_until:
            await asyncio.sleep(lease / 3)
            asked = time.monotonic()
            try:
                async with asyncio.timeout(lease / 3), self._engine.begin() as connection:
                    held = await connection.scalar(_RENEW, {"id": job.id, "lease": job.lease, "seconds": lease})
            except Exception as error:  # noqa: BLE001 - as long as the lease lasts, there is another try
                _log.warning("lease not renewed", job=job.id, kind=job.kind, error=type(error).__name__)
                continue
            if held is None:
                if await self._is_finished(job):
                    await asyncio.Event().wait()  # completed by its handler, which is still tidying up
                return
            good_until = asked + lease

    async def _is_finished(self, job: Job) -> bool:
        async with self._engine.connect() as connection:
            state = await connection.scalar(
                sa.select(jobs.c.state).where(jobs.c.id == job.id, jobs.c.lease == job.lease)
            )
        return state == "done"

    async def _finish(self, job: Job) -> None:
        """Complete the job where its handler did not."""
        with contextlib.suppress(LeaseLost):
            async with self._engine.begin() as connection:
                await complete(connection, job)

    async def _fail(self, job: Job, error: BaseException) -> str:
        """Another attempt later, or none."""
        dead = isinstance(error, Permanent) or job.attempt >= self._handler.max_attempts
        wait = min(self._handler.back_off * 2 ** min(job.attempt - 1, 20), self._handler.longest_back_off)
        text = f"attempt {job.attempt}: {type(error).__name__}: {error}"[:_ERROR_CHARACTERS].replace("\x00", "")
        values: dict[str, Any] = {"error": text, "leased_until": None}
        if dead:
            values |= {"state": "dead", "finished_at": sa.func.clock_timestamp()}
        else:
            values |= {"state": "ready", "not_before": sa.func.clock_timestamp() + wait}
        async with self._engine.begin() as connection:
            await connection.execute(sa.update(jobs).where(*_held_by(job)).values(values))
        log = _log.error if dead else _log.warning
        log(
            "job is dead" if dead else "job failed, another attempt follows",
            job=job.id,
            kind=job.kind,
            attempt=job.attempt,
            error=type(error).__name__,
        )
        return "dead" if dead else "failed"

    async def _release(self, job: Job) -> None:
        """Give a job back untouched: this attempt does not count."""
        try:
            async with asyncio.timeout(3), self._engine.begin() as connection:
                await connection.execute(
                    sa.update(jobs)
                    .where(*_held_by(job))
                    .values(state="ready", attempt=jobs.c.attempt - 1, leased_until=None)
                )
        except Exception as error:  # noqa: BLE001 - then the lease runs out
            _log.warning("lease not given back", job=job.id, kind=job.kind, error=type(error).__name__)


def _held_by(job: Job) -> Sequence[sa.ColumnElement[bool]]:
    return jobs.c.id == job.id, jobs.c.lease == job.lease, jobs.c.state == "running"


async def _handle(handler: JobHandler, job: Job) -> None:
    await handler.handle(job)


async def _acquire(free: asyncio.Semaphore, stop: asyncio.Event) -> None:
    """Wait for a free place, or for ``stop`` (then there may be none)."""
    getting, stopping = asyncio.create_task(free.acquire()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({getting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        getting.cancel()
        stopping.cancel()
