"""The live stream: the present state first, then what is newer, from every replica, until the server stops."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery import serving as in_delivery
from votes.api.live import Live, Stream
from votes.domain import Cast, Head
from votes.store.log import fold_casts

from .conftest import Replica, Served, Service, add_tool

Serving = Callable[[Service], Awaitable[Served]]

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Page:
    """A page that follows tools: its frames, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()
        self.response = response

    async def frame(self) -> tuple[str, dict[str, object]]:
        """The next tally: its id and data. Comments and hints are passed over."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    assert fields["event"] == "tally"
                    return fields["id"], json.loads(fields["data"])
                else:
                    fields = {}
        raise EOFError

    async def line(self) -> str:
        async with asyncio.timeout(10):
            return await anext(self._lines)

    async def ends(self) -> bool:
        async with asyncio.timeout(10):
            async for _ in self._lines:
                pass
        return True


@contextlib.asynccontextmanager
async def following(served: Served, *tools: str) -> AsyncIterator[Page]:
    async with (
        httpx.AsyncClient(base_url=served.address, timeout=20) as client,
        client.stream("GET", "/votes/stream", params={"tools": ",".join(tools)}) as response,
    ):
        yield Page(response)


async def vote(engine: AsyncEngine, tool: str, *voters: str) -> None:
    async with engine.begin() as connection:
        await fold_casts(connection, [Cast(tool, voter, 1, "ship", "counted", None, NOON) for voter in voters], NOON)


async def test_the_present_tally_of_each_tool_comes_first_then_changes(
    replica: Replica, serving: Serving, engine: AsyncEngine
) -> None:
    served = await serving(await replica())
    tools = [await add_tool(engine), await add_tool(engine)]
    await vote(engine, tools[0], "a", "b")
    async with following(served, *tools) as page:
        assert page.response.headers["content-type"].startswith("text/event-stream")
        first = dict([await page.frame(), await page.frame()])
        assert set(first) == {f"{tools[0]}:2", f"{tools[1]}:0"}
        assert "my_vote" not in first[f"{tools[0]}:2"]
        await vote(engine, tools[1], "a")
        identity, data = await page.frame()
        assert (identity, data["ship"], data["version"]) == (f"{tools[1]}:1", 1, 1)


async def test_every_replica_passes_on_what_any_worker_folds(
    replica: Replica, serving: Serving, engine: AsyncEngine, tool: str
) -> None:
    one, other = await serving(await replica()), await serving(await replica())
    async with following(one, tool) as page, following(other, tool) as second:
        await asyncio.gather(page.frame(), second.frame())
        await vote(engine, tool, "a")
        assert [identity for identity, _ in await asyncio.gather(page.frame(), second.frame())] == [f"{tool}:1"] * 2


async def test_changes_are_coalesced_and_the_newest_always_comes(
    replica: Replica, serving: Serving, engine: AsyncEngine, tool: str
) -> None:
    served = await serving(await replica())
    async with following(served, tool) as page:
        await page.frame()
        for number in range(30):
            await vote(engine, tool, f"v{number}")
        versions = [0]
        while versions[-1] < 30:
            versions.append(int((await page.frame())[0].split(":")[1]))
        assert versions == sorted(set(versions))
        assert len(versions) < 10


async def test_a_lost_listening_connection_loses_no_change(
    replica: Replica, serving: Serving, engine: AsyncEngine, tool: str
) -> None:
    served = await serving(await replica())
    async with following(served, tool) as page:
        await page.frame()
        async with engine.begin() as connection:
            ended = await connection.scalar(
                sa.text("""
                    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                """)
            )
            assert ended
        await vote(engine, tool, "a")
        assert (await page.frame())[0] == f"{tool}:1"


async def test_a_silent_stream_sends_heartbeats(replica: Replica, serving: Serving, tool: str) -> None:
    served = await serving(await replica(stream_heartbeat="PT0.05S"))
    async with following(served, tool) as page:
        await page.frame()
        assert await page.line() == ": heartbeat"


async def test_streams_end_when_the_server_stops(
    replica: Replica, serving: Serving, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_delivery, "GRACE_SECONDS", 60)
    served = await serving(await replica())
    async with following(served, tool) as page:
        await page.frame()
        async with asyncio.timeout(30):  # less than the grace for requests in flight
            await served.end()
        assert await page.ends()


async def test_a_stream_follows_a_bounded_number_of_known_tools(replica: Replica, tool: str) -> None:
    reader = await (await replica(stream_tools=2)).reader()
    for tools, status in (
        (",".join(str(uuid4()) for _ in range(3)), 422),
        ("", 422),
        ("no-uuid", 422),
        (str(uuid4()), 404),
    ):
        assert (await reader.get("/votes/stream", params={"tools": tools})).status_code == status


async def test_a_replica_serves_a_bounded_number_of_streams(replica: Replica, serving: Serving, tool: str) -> None:
    served = await serving(await replica(stream_clients=1))
    async with following(served, tool) as page:
        await page.frame()
        async with following(served, tool) as second:
            assert second.response.status_code == 503
            assert "retry-after" in second.response.headers


def test_a_slow_page_holds_one_pending_tally_a_tool_and_gets_the_newest() -> None:
    stream = Stream(["a", "b", "a"])
    for length in range(1000):
        stream.offer({"a": Head(length), "b": Head(length), "c": Head(length)})
    assert stream.take() == [("a", Head(999)), ("b", Head(999))]
    stream.offer({"a": Head(998)})
    assert stream.take() == []


async def test_a_page_that_leaves_is_forgotten(engine: AsyncEngine, tool: str) -> None:
    live = Live(engine, most=1)
    frames = live.events([tool], lambda *_: "{}")
    assert await anext(frames) == "retry: 2000\n\n"
    await frames.aclose()
    live.check_room()
