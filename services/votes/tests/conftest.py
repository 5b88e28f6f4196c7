"""A votes service on real parts: replicas of its API, and the folding that its worker does, driven by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shipjury_delivery import Api
from shipjury_delivery.process import public_app, run_background, together
from shipjury_delivery.serving import bind, serve
from shipjury_schemas import VoteCast, decode
from votes.app import api
from votes.on_vote_cast import on_vote_cast
from votes.settings import Settings

Replica = Callable[..., Awaitable["Service"]]


@dataclass(frozen=True)
class Service:
    """One replica of the API, spoken to without a socket. ``reader()`` is a new reader with an empty cookie jar."""

    api: Api
    settings: Settings
    stack: AsyncExitStack

    async def reader(self, address: str = "203.0.113.7", **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(public_app(self.api, self.settings), client=(address, 4711))
        client = httpx.AsyncClient(transport=transport, base_url="http://site.test", headers=headers)
        return await self.stack.enter_async_context(client)

    async def operator(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.api.operator)
        return await self.stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://ops.test"))


@pytest_asyncio.fixture
async def database(make_database: Callable[[str], Awaitable[str]]) -> str:
    return await make_database("votes")


@pytest_asyncio.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def replica(database: str, redis_url: str) -> AsyncIterator[Replica]:
    """``await replica(limit_voter_writes=2)``: a replica on the test's database and Redis, closed after the test."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Service:
            given = {
                "database_url": database,
                "kafka_bootstrap_servers": "127.0.0.1:1",
                "redis_url": redis_url,
                "operator_key": "operators-only",
                "limit_speed_writes": 1000,
                # a busy test machine is no Redis or database that is away
                "admission_timeout": "PT30S",
                "patience": "PT30S",
            }
            settings = Settings(**(given | changes))
            return Service(await stack.enter_async_context(api(settings)), settings, stack)

        yield start


@pytest_asyncio.fixture
async def tool(engine: AsyncEngine) -> str:
    """A tool that may be voted on."""
    return await add_tool(engine)


async def add_tool(engine: AsyncEngine, status: str = "published") -> str:
    tool_id = str(uuid4())
    async with engine.begin() as connection:
        await connection.execute(
            sa.text("INSERT INTO tools VALUES (CAST(:id AS uuid), :slug, 'A tool', :status, 1)"),
            {"id": tool_id, "slug": f"tool-{tool_id[:8]}", "status": status},
        )
    return tool_id


async def outbox(engine: AsyncEngine, topic: str = "votes.cast.v1") -> list[Any]:
    """The rows of the outbox on a topic, in order."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            sa.text("SELECT * FROM outbox WHERE topic = :topic ORDER BY id"), {"topic": topic}
        )
        return list(rows)


async def fold_outbox(engine: AsyncEngine) -> None:
    """Do what relay and worker do: hand every vote in the outbox to the subscriber, in one batch."""
    rows = await outbox(engine)
    events = [decode(VoteCast, row.value, [(name, text.encode()) for name, text in row.headers]) for row in rows]
    async with engine.begin() as connection:
        await on_vote_cast(connection, events, clock=lambda: datetime.now(UTC))


@pytest.fixture
def fold(engine: AsyncEngine) -> Callable[[], Awaitable[None]]:
    return lambda: fold_outbox(engine)


@pytest_asyncio.fixture
async def serving() -> AsyncIterator[Callable[[Service], Awaitable["Served"]]]:
    """``await serving(service)``: the replica on a port of its own, with its loops, until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(service: Service) -> Served:
            stop, listening = asyncio.Event(), bind("127.0.0.1", 0)
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            running = asyncio.create_task(
                together(
                    stop,
                    serve(public_app(service.api, service.settings), listening, stop),
                    run_background("votes", service.api.background, stop),
                )
            )
            served = Served(address, stop, running)
            stack.push_async_callback(served.end)
            return served

        yield start


@dataclass(frozen=True)
class Served:
    """A replica that listens."""

    address: str
    stop: asyncio.Event
    running: asyncio.Task[None]

    async def end(self) -> None:
        """Stop it as SIGTERM does."""
        self.stop.set()
        await asyncio.shield(self.running)  # who waits no longer does not end it: it ends when the test does
