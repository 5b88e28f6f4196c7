"""Processes and servers die in the middle: nothing that was answered is lost, and nothing counts twice."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from aiokafka import AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shipjury_delivery.migrations import upgrade
from shipjury_delivery.topics import ensure_topics
from shipjury_schemas import TallyChanged, encode
from shipjury_standalone import children
from shipjury_standalone.embedded.postgres import Postgres
from votes.store.recount import recount_all

from .conftest import Replica, Service, add_tool, outbox
from .test_on_tool_published import published

Worker = Callable[[], children.Child]
Until = Callable[..., Coroutine[Any, Any, None]]

LIMITS = ("voter_writes", "network_writes", "speed_writes", "network_voters", "network_voters_all", "signal_voters")
MANY = {f"limit_{name}": 10**6 for name in LIMITS}


@pytest_asyncio.fixture
async def services(replica: Replica, kafka: str) -> list[Service]:
    """Two replicas of the API, and the topics."""
    found = [await replica(kafka_bootstrap_servers=kafka, **MANY) for _ in range(2)]
    await ensure_topics(found[0].settings)
    return found


@pytest.fixture
def worker(services: list[Service], tmp_path: Path) -> AsyncIterator[Worker]:
    """Starts ``python -m votes worker`` on the test's parts; what still runs at the end is stopped."""
    settings, started = services[0].settings, []
    environment = os.environ | {
        "VOTES_DATABASE_URL": settings.database_url.get_secret_value(),
        "VOTES_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "VOTES_OPERATOR_KEY": settings.operator_key.get_secret_value(),
        "VOTES_CONSUME_BATCH": "20",
        "VOTES_OUTBOX_BATCH": "20",
        **{f"VOTES_{name.upper()}": str(value) for name, value in MANY.items()},
    }

    def start() -> children.Child:
        child = children.start(
            "A worker of votes",
            [sys.executable, "-m", "votes", "worker"],
            log=children.into_file(tmp_path / f"worker-{len(started)}.log"),
            environment=environment,
            grace=15,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.stop()


class Crowd:
    """Readers who vote on every tool, and ask again when they are told to. ``answered`` counts committed votes."""

    def __init__(self, services: list[Service], tools: list[str]) -> None:
        self._services = services
        self._tools = tools
        self.answered = 0
        self.told_to_wait = 0

    async def vote(self, readers: int) -> None:
        await asyncio.gather(*(self._one(number) for number in range(readers)))

    async def _one(self, number: int) -> None:
        async with AsyncExitStack() as stack:
            transport = httpx.ASGITransport(self._services[number % 2].api.public)
            client = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://site.test", timeout=60)
            )
            for tool in self._tools:
                await self._until_answered(client, tool, number)

    async def _until_answered(self, client: httpx.AsyncClient, tool: str, number: int) -> None:
        async with asyncio.timeout(60):
            while True:
                answer = await client.put(f"/votes/{tool}", json={"verdict": ("ship", "skip")[number % 3 == 0]})
                if answer.status_code == 200:
                    self.answered += 1
                    return
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"]
                self.told_to_wait += 1
                await asyncio.sleep(0.05)


async def all_folded(engine: AsyncEngine, votes: int) -> bool:
    async with engine.connect() as connection:
        return await connection.scalar(sa.text("SELECT coalesce(sum(ship + skip), 0) FROM tallies")) == votes


async def exactly(engine: AsyncEngine, tools: list[str], readers: int) -> None:
    """Every tool's tally, log and newest event hold each reader's vote once."""
    skips = len(range(0, readers, 3))
    async with engine.connect() as connection:
        rows = (await connection.execute(sa.text("SELECT * FROM tallies"))).all()
        assert {(str(row.tool_id), row.ship, row.skip, row.held, row.length) for row in rows} == {
            (tool, readers - skips, skips, 0, readers) for tool in tools
        }
        assert await connection.scalar(sa.text("SELECT count(*) FROM ballots")) == readers * len(tools)
    assert [one.problem async for one in recount_all(engine)] == [None] * len(tools)
    newest: dict[str, TallyChanged] = {}
    for row in await outbox(engine, "tallies.changed.v1"):
        told = TallyChanged.model_validate_json(row.value)
        assert told.tool_id not in newest or newest[told.tool_id].aggregate_version < told.aggregate_version
        newest[told.tool_id] = told
    assert {told.aggregate_version for told in newest.values()} == {readers}


async def test_a_tool_is_published_voted_on_and_its_tally_told(
    services: list[Service], worker: Worker, engine: AsyncEngine, kafka: str, until: Until
) -> None:
    tool = str(uuid4())
    message = encode(published(1, tool_id=tool))
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait("tools.published.v1", message.value, message.key, headers=list(message.headers))
    worker()
    reader = await services[0].reader()

    async def taken() -> bool:
        return (await reader.put(f"/votes/{tool}", json={"verdict": "ship"})).status_code == 200

    async def counted() -> bool:
        return (await reader.get(f"/votes/{tool}")).json()["ship"] == 1

    async def sent() -> bool:
        return any(row.sent_at for row in await outbox(engine, "tallies.changed.v1"))

    await until(taken, seconds=30)
    await until(counted, seconds=30)
    await until(sent, seconds=30)


async def test_two_workers_and_two_replicas_count_each_vote_once(
    services: list[Service], worker: Worker, engine: AsyncEngine, until: Until
) -> None:
    tools = [await add_tool(engine) for _ in range(8)]
    worker(), worker()
    await Crowd(services, tools).vote(30)
    await until(lambda: all_folded(engine, 240), seconds=60)
    await exactly(engine, tools, 30)


async def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    services: list[Service], worker: Worker, engine: AsyncEngine, until: Until
) -> None:
    tools = [await add_tool(engine) for _ in range(5)]
    first, crowd = worker(), Crowd(services, tools)
    voting = asyncio.create_task(crowd.vote(40))

    async def in_the_middle() -> bool:
        async with engine.connect() as connection:
            return await connection.scalar(sa.text("SELECT coalesce(sum(ship + skip), 0) FROM tallies")) > 20

    await until(in_the_middle, seconds=60)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert not await all_folded(engine, 200)
    await voting
    worker()
    await until(lambda: all_folded(engine, 200), seconds=60)
    await exactly(engine, tools, 40)


@pytest_asyncio.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    """A durable server of the test's own, to be crashed."""
    server = Postgres(tmp_path / "postgres")
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def database(request: pytest.FixtureRequest, make_database: Callable[[str], Any]) -> AsyncIterator[str]:
    """The usual database, or, for a test marked so, one on a server of its own that may be crashed."""
    if "own_postgres" not in request.fixturenames:
        yield await make_database("votes")
        return
    server: Postgres = request.getfixturevalue("own_postgres")
    url = server.url()
    await upgrade("votes", url)
    yield url


async def test_postgres_crashed_under_load_loses_no_vote_that_was_answered(
    own_postgres: Postgres, services: list[Service], worker: Worker, database: str, until: Until
) -> None:
    engine = create_async_engine(database, pool_pre_ping=True)
    tools = [await add_tool(engine) for _ in range(5)]
    worker()
    crowd = Crowd(services, tools)
    voting = asyncio.create_task(crowd.vote(40))
    await until(lambda: crowd.answered > 60, seconds=60)
    own_postgres.child.process.send_signal(signal.SIGQUIT)  # no checkpoint, no farewell: the next start recovers
    own_postgres.child.process.wait()
    answered = crowd.answered
    assert answered < 200
    own_postgres.start()
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM ballots")) >= answered
    await voting
    await until(lambda: all_folded(engine, 200), seconds=60)
    await exactly(engine, tools, 40)
    await engine.dispose()
