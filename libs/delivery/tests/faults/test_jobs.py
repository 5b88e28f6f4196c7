"""Jobs under faults: each is done once; what dies in the middle repeats at most the one in flight."""

import asyncio
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from shipjury_delivery import Job, JobHandler, LeaseLost, Permanent, complete, enqueue
from shipjury_delivery.job_runner import JobRunner
from shipjury_delivery.testing import World, ledger, until

SHORT = timedelta(seconds=0.6)

DIES_IN_THE_THIRD = """
import asyncio, os, signal, sys
from datetime import timedelta
import sqlalchemy as sa
from shipjury_delivery import JobHandler
from shipjury_delivery.testing import from_arguments, ledger

world = from_arguments(sys.argv[1])

async def handle(job):
    async with world.engine.begin() as connection:
        await connection.execute(sa.insert(ledger).values(who="begun", key=job.key, number=job.attempt))
    if job.key == "3":
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with world.worker(jobs=[JobHandler("work", handle, lease=timedelta(seconds=1))]):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def _enqueue(world: World, *keys: str, **options: datetime) -> list[bool]:
    async with world.engine.begin() as connection:
        return [await enqueue(connection, "work", key, {"of": key}, **options) for key in keys]


async def _states(world: World) -> dict[str, str]:
    async with world.engine.connect() as connection:
        return {key: state for key, state in await connection.execute(sa.text("SELECT key, state FROM jobs"))}  # noqa: C416


def _state_is(world: World, key: str, state: str):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return (await _states(world)).get(key) == state

    return check


async def test_a_job_is_done_once_with_its_payload(world: World) -> None:
    done: list[tuple[str, object, int]] = []

    async def handle(job: Job) -> None:
        done.append((job.key, job.payload["of"], job.attempt))

    async with world.worker(jobs=[JobHandler("work", handle, concurrency=3)]):
        await _enqueue(world, "a", "b", "c")
        for key in "abc":
            await until(_state_is(world, key, "done"))
    assert sorted(done) == [("a", "a", 1), ("b", "b", 1), ("c", "c", 1)]


async def test_a_job_enqueued_twice_is_one_job_even_when_it_is_done(world: World) -> None:
    done: list[str] = []

    async def handle(job: Job) -> None:
        done.append(job.key)

    assert await _enqueue(world, "a", "a") == [True, False]
    async with world.worker(jobs=[JobHandler("work", handle)]):
        await until(_state_is(world, "a", "done"))
        assert await _enqueue(world, "a", "b") == [False, True]
        await until(_state_is(world, "b", "done"))
    assert done == ["a", "b"]


async def test_a_job_waits_for_its_time(world: World) -> None:
    done: list[str] = []

    async def handle(job: Job) -> None:
        done.append(job.key)

    await _enqueue(world, "later", not_before=datetime.now(UTC) + timedelta(hours=1))
    await _enqueue(world, "now")
    async with world.worker(jobs=[JobHandler("work", handle)]):
        await until(_state_is(world, "now", "done"))
    assert (await _states(world))["later"] == "ready"


async def test_many_workers_share_jobs_and_double_none(world: World) -> None:
    begun: Counter[str] = Counter()

    async def handle(job: Job) -> None:
        begun[job.key] += 1
        await asyncio.sleep(0)

    keys = [str(number) for number in range(60)]
    await _enqueue(world, *keys)
    handler = JobHandler("work", handle, concurrency=4)
    async with world.worker(jobs=[handler]), world.worker(jobs=[handler]), world.worker(jobs=[handler]):
        await until(lambda: _all_done(world))
    assert begun == dict.fromkeys(keys, 1)


async def test_a_job_that_fails_is_tried_again_and_then_is_dead_with_its_error(world: World) -> None:
    attempts: list[int] = []

    async def handle(job: Job) -> None:
        attempts.append(job.attempt)
        raise RuntimeError("no luck")

    await _enqueue(world, "a")
    quick = timedelta(milliseconds=10)
    async with world.worker(jobs=[JobHandler("work", handle, max_attempts=3, back_off=quick)]):
        await until(_state_is(world, "a", "dead"))
    assert attempts == [1, 2, 3]
    assert "attempt 3: RuntimeError: no luck" in await world.scalar("SELECT error FROM jobs")


async def test_a_job_that_can_never_be_done_is_dead_at_once(world: World) -> None:
    async def handle(job: Job) -> None:
        raise Permanent("there is no such tool")

    await _enqueue(world, "a")
    async with world.worker(jobs=[JobHandler("work", handle)]):
        await until(_state_is(world, "a", "dead"))
    assert await world.scalar("SELECT attempt FROM jobs") == 1


async def test_effects_and_the_end_of_a_job_commit_together(world: World) -> None:
    async def handle(job: Job) -> None:
        async with world.engine.begin() as connection:
            await connection.execute(sa.insert(ledger).values(who="job", key=job.key, number=job.attempt))
            await complete(connection, job)

    await _enqueue(world, "a")
    async with world.worker(jobs=[JobHandler("work", handle)]):
        await until(_state_is(world, "a", "done"))
    assert await world.numbers() == {"a": [1]}


async def test_a_job_longer_than_its_lease_keeps_it(world: World) -> None:
    attempts: list[int] = []
    go_on = asyncio.Event()

    async def handle(job: Job) -> None:
        attempts.append(job.attempt)
        await go_on.wait()

    await _enqueue(world, "a")
    handler = JobHandler("work", handle, lease=SHORT)
    async with world.worker(jobs=[handler]), world.worker(jobs=[handler]):
        first = await _until_leased(world)
        await until(lambda: _leased_past(world, first + timedelta(seconds=1.5)))
        go_on.set()
        await until(_state_is(world, "a", "done"))
    assert attempts == [1]


async def test_who_has_lost_the_lease_is_cancelled_and_commits_nothing(world: World) -> None:
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def handle(job: Job) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(LeaseLost):
                async with world.engine.begin() as connection:
                    await complete(connection, job)
            cancelled.set()
            raise

    await _enqueue(world, "a")
    async with world.worker(jobs=[JobHandler("work", handle, lease=SHORT)]):
        await asyncio.wait_for(begun.wait(), 10)
        async with world.engine.begin() as connection:  # another worker takes it, as if this one had been away
            await connection.execute(
                sa.text("UPDATE jobs SET lease = 'another', leased_until = now() + interval '1 hour'")
            )
        await asyncio.wait_for(cancelled.wait(), 10)
    assert await world.scalar("SELECT lease FROM jobs") == "another"
    assert (await _states(world))["a"] == "running"


async def test_a_worker_killed_in_a_job_repeats_at_most_the_one_in_flight(world: World) -> None:
    await _enqueue(world, *"12345")
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES_IN_THE_THIRD, world.as_arguments())
    assert await asyncio.wait_for(killed.wait(), 60) == -signal.SIGKILL

    async def handle(job: Job) -> None:
        async with world.engine.begin() as connection:
            await connection.execute(sa.insert(ledger).values(who="begun", key=job.key, number=job.attempt))
            await complete(connection, job)

    async with world.worker(jobs=[JobHandler("work", handle, lease=timedelta(seconds=1))]):
        await until(lambda: _all_done(world))
    assert await world.numbers() == {"1": [1], "2": [1], "3": [1, 2], "4": [1], "5": [1]}


async def test_a_job_that_kills_every_worker_dies_in_the_end(world: World) -> None:
    await _enqueue(world, "a")
    async with world.engine.begin() as connection:  # its last worker died an hour ago, in the eighth attempt
        await connection.execute(
            sa.text("UPDATE jobs SET state = 'running', attempt = 8, leased_until = now() - interval '1 hour'")
        )

    async def handle(job: Job) -> None:
        raise AssertionError("it must not be tried again")

    async with world.worker(jobs=[JobHandler("work", handle)]):
        await until(_state_is(world, "a", "dead"))
    assert "died" in await world.scalar("SELECT error FROM jobs")


async def test_a_worker_that_stops_gives_its_job_back_at_once(world: World) -> None:
    begun = asyncio.Event()

    async def handle(job: Job) -> None:
        begun.set()
        await asyncio.Event().wait()

    await _enqueue(world, "a")
    stop, wake = asyncio.Event(), asyncio.Event()
    handler = JobHandler("work", handle, lease=timedelta(hours=1))
    running = asyncio.create_task(JobRunner("test", world.engine, handler, wake, drain_seconds=0.1).run(stop))
    await asyncio.wait_for(begun.wait(), 10)
    stop.set()
    await running
    assert await _states(world) == {"a": "ready"}
    assert await world.scalar("SELECT attempt FROM jobs") == 0


async def _all_done(world: World) -> bool:
    return set((await _states(world)).values()) == {"done"}


async def _until_leased(world: World) -> datetime:
    await until(lambda: world.scalar("SELECT leased_until FROM jobs"))
    leased: datetime = await world.scalar("SELECT leased_until FROM jobs")
    return leased


async def _leased_past(world: World, moment: datetime) -> bool:
    leased: datetime = await world.scalar("SELECT leased_until FROM jobs")
    return leased > moment
