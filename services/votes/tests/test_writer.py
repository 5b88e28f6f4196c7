"""The writer: what is answered is committed, and no request harms another."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shipjury_standalone.ports import free_port
from votes.domain import StaleVersion
from votes.store import writer as module
from votes.store.ballots import RetiredTool, Standing, UnknownTool, Write, write_all
from votes.store.patience import Unavailable
from votes.store.writer import Overloaded, Writer

from .conftest import add_tool, outbox

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def write(tool: str, voter: str, vote: str = "ship", expected: int | None = None) -> Write:
    return Write(tool, voter, vote, NOW, expected)


def a_writer(engine: AsyncEngine, **changes: Any) -> Writer:
    """A writer that does not take a busy test machine for a database that is away."""
    return Writer(engine, **({"patience": 30.0} | changes))


async def transactions(engine: AsyncEngine) -> int:
    """How many transactions wrote the ballots that there are."""
    async with engine.connect() as connection:
        return await connection.scalar(sa.text("SELECT count(DISTINCT xmin::text) FROM ballots"))


async def test_requests_that_arrive_together_are_committed_together(engine: AsyncEngine, tool: str) -> None:
    async with a_writer(engine).running() as writer:
        await asyncio.gather(*(writer.submit(write(tool, f"v{number}")) for number in range(300)))
    assert await transactions(engine) == 1
    assert len(await outbox(engine)) == 300


async def test_a_batch_has_a_largest_size(engine: AsyncEngine, tool: str) -> None:
    async with a_writer(engine, largest=100).running() as writer:
        await asyncio.gather(*(writer.submit(write(tool, f"v{number}")) for number in range(300)))
    assert await transactions(engine) == 3


async def test_of_one_voters_votes_in_a_batch_the_last_wins(engine: AsyncEngine, tool: str) -> None:
    async with engine.begin() as connection:
        answers = await write_all(connection, [write(tool, "a"), write(tool, "b"), write(tool, "a", "skip")])
    assert [answer.ballot.vote for answer in answers] == ["skip", "ship", "skip"]
    assert [answer.ballot.version for answer in answers] == [1, 1, 1]
    assert len(await outbox(engine)) == 2


async def test_a_vote_taken_back_within_its_batch_leaves_nothing(engine: AsyncEngine, tool: str) -> None:
    async with engine.begin() as connection:
        answers = await write_all(connection, [write(tool, "a"), write(tool, "a", "withdrawn")])
    assert [answer.ballot for answer in answers] == [None, None]
    assert await outbox(engine) == []


async def test_versions_hold_within_a_batch_too(engine: AsyncEngine, tool: str) -> None:
    asked = [write(tool, "a", "ship", 0), write(tool, "a", "skip", 0), write(tool, "a", "skip", 1)]
    async with a_writer(engine).running() as writer:
        first, stale, second = await asyncio.gather(*map(writer.submit, asked), return_exceptions=True)
    assert isinstance(first, Standing)
    assert isinstance(second, Standing)
    assert (first.ballot.version, second.ballot.version, second.ballot.vote) == (1, 2, "skip")
    assert isinstance(stale, StaleVersion)


async def test_a_bad_request_is_refused_alone(engine: AsyncEngine, tool: str) -> None:
    retired = await add_tool(engine, "retired")
    asked = [write(tool, "a"), write(str(uuid4()), "a"), write(retired, "a"), write(tool, "b", expected=7)]
    async with a_writer(engine).running() as writer:
        answers = await asyncio.gather(*map(writer.submit, asked), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Standing, UnknownTool, RetiredTool, StaleVersion]
    assert len(await outbox(engine)) == 1


async def test_a_request_that_breaks_its_batch_fails_alone(engine: AsyncEngine, tool: str) -> None:
    async with a_writer(engine).running() as writer:
        asked = [write(tool, f"v{number}") for number in range(20)]
        asked[7] = write(tool, "no text for postgres: \0")
        answers = await asyncio.gather(*map(writer.submit, asked), return_exceptions=True)
    assert [number for number, answer in enumerate(answers) if isinstance(answer, Exception)] == [7]
    assert len(await outbox(engine)) == 19


async def test_a_cancelled_request_does_not_break_its_batch(engine: AsyncEngine, tool: str) -> None:
    async with a_writer(engine).running() as writer:
        tasks = [asyncio.create_task(writer.submit(write(tool, f"v{number}"))) for number in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, Standing) for answer in answers] == [number != 3 for number in range(10)]
    assert len(await outbox(engine)) == 9


async def test_a_request_cancelled_while_its_batch_commits_does_not_break_it(
    engine: AsyncEngine, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: AsyncConnection, writes: Sequence[Write]) -> list[Standing | Exception]:
        answers = await write_all(connection, writes)
        committing.set()
        await go_on.wait()
        return answers

    monkeypatch.setattr(module, "write_all", slow)
    async with a_writer(engine).running() as writer:
        tasks = [asyncio.create_task(writer.submit(write(tool, f"v{number}"))) for number in range(3)]
        await committing.wait()
        tasks[0].cancel()
        go_on.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, Standing) for answer in answers] == [False, True, True]


async def test_past_the_bound_of_the_queue_a_request_is_refused_at_once(engine: AsyncEngine, tool: str) -> None:
    async with a_writer(engine, most_waiting=5).running() as writer:
        asked = [writer.submit(write(tool, f"v{number}")) for number in range(8)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(answer, Overloaded) for answer in answers] == [False] * 5 + [True] * 3


async def test_without_a_database_a_request_is_told_so_soon(tool: str) -> None:
    engine = create_async_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing")
    async with asyncio.timeout(5), a_writer(engine, patience=0.2).running() as writer:
        with pytest.raises(Unavailable):
            await writer.submit(write(tool, "a"))
    await engine.dispose()


async def test_a_database_that_hangs_does_not_hang_requests(engine: AsyncEngine, tool: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("LOCK TABLE ballots IN ACCESS EXCLUSIVE MODE"))
        async with asyncio.timeout(5), a_writer(engine, patience=0.2).running() as writer:
            with pytest.raises(Unavailable):
                await writer.submit(write(tool, "a"))
    async with a_writer(engine).running() as writer:
        assert (await writer.submit(write(tool, "a"))).ballot.version == 1


async def test_connections_that_died_cost_no_vote(engine: AsyncEngine, tool: str, database: str) -> None:
    other = create_async_engine(database)
    async with a_writer(engine).running() as writer:
        await writer.submit(write(tool, "before"))
        async with other.begin() as connection:
            await connection.execute(
                sa.text("""
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                """)
            )
        assert (await writer.submit(write(tool, "after"))).ballot.version == 1
    await other.dispose()


async def test_what_waits_when_the_service_stops_is_still_written(engine: AsyncEngine, tool: str) -> None:
    async with a_writer(engine, linger=0.05).running() as writer:
        tasks = [asyncio.create_task(writer.submit(write(tool, f"v{number}"))) for number in range(10)]
        await asyncio.sleep(0)
    assert all(isinstance(answer, Standing) for answer in await asyncio.gather(*tasks))
    with pytest.raises(Unavailable):
        await writer.submit(write(tool, "late"))


async def test_replicas_that_write_the_same_voters_at_once_agree(engine: AsyncEngine, database: str) -> None:
    tools = [await add_tool(engine) for _ in range(5)]
    other = create_async_engine(database)
    async with a_writer(engine).running() as one, a_writer(other).running() as two:
        asked = [
            (one, two)[(number + turn) % 2].submit(write(tool, f"v{number}", ("ship", "skip")[turn % 2]))
            for turn in range(6)
            for tool in (tools, tools[::-1])[turn % 2]
            for number in range(10)
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    await other.dispose()
    assert {type(answer) for answer in answers} == {Standing}
    async with engine.connect() as connection:
        versions = {
            (str(row.tool_id), row.voter): row.version
            for row in await connection.execute(sa.text("SELECT tool_id, voter, version FROM ballots"))
        }
    told: dict[tuple[str, str], list[int]] = {}
    for row in await outbox(engine):
        event = json.loads(row.value)
        told.setdefault((event["tool_id"], event["voter"]), []).append(event["aggregate_version"])
    assert told == {key: list(range(1, version + 1)) for key, version in versions.items()}
