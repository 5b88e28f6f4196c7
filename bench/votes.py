"""What committing votes together brings: durable votes a second, batched, against one commit a vote.

64 clients vote without pause, each for a new voter every time, on a PostgreSQL of the embedded kind with ``fsync`` on;
each vote writes its ballot and its outbox row. ``SELECT 1`` on the same server and pool is the limit of anything that
asks the database once a vote. Run: ``python bench/votes.py [--seconds 5]``.
"""

import sys
from pathlib import Path

if sys.path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    sys.path.pop(0)  # this file has the name of the package that it measures

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shipjury_delivery.migrations import upgrade
from shipjury_delivery.process import public_app
from shipjury_delivery.serving import bind, serve
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.embedded.redis import Redis
from votes.app import api
from votes.settings import Settings
from votes.store.ballots import Write, write_all
from votes.store.writer import Writer

CLIENTS = 64
POOL = 20
Once = Callable[[int], Awaitable[None]]


async def main(seconds: float) -> None:
    """Measure each way and print the table."""
    folder = Path(tempfile.mkdtemp(prefix="bench-votes-"))
    postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
    postgres.start()
    redis.start()
    try:
        url = postgres.url()
        await upgrade("votes", url)
        engine = create_async_engine(url, pool_size=POOL, max_overflow=0)
        tools = [await add_tool(engine) for _ in range(30)]
        rows = [
            await measure("SELECT 1 (no vote: the limit of one round trip)", select_one(engine), seconds),
            await measure("one commit a vote (alternative)", one_commit(engine, tools), seconds),
            await batched(engine, tools, seconds),
            await over_http(url, redis.url, tools, seconds),
        ]
        await check(engine)
        await engine.dispose()
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{CLIENTS} clients, pool of {POOL}, {seconds:g} s each; {machine()}\n")
    print("| way | a second | p50 ms | p99 ms |\n| --- | ---: | ---: | ---: |")
    for name, rate, p50, p99 in rows:
        print(f"| {name} | {rate:,.0f} | {p50:.1f} | {p99:.1f} |")


async def measure(name: str, once: Once, seconds: float) -> tuple[str, float, float, float]:
    """Let the clients go on for a while; rate and latencies (ms). The first half second does not count."""
    took: list[float] = []
    warm = time.perf_counter() + 0.5
    end = warm + seconds

    async def client(number: int) -> None:
        while (began := time.perf_counter()) < end:
            await once(number)
            if began >= warm:
                took.append(time.perf_counter() - began)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    cuts = statistics.quantiles(took, n=100)
    return name, len(took) / seconds, cuts[49] * 1000, cuts[98] * 1000


def select_one(engine: AsyncEngine) -> Once:
    async def once(_: int) -> None:
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))

    return once


def one_commit(engine: AsyncEngine, tools: list[str]) -> Once:
    async def once(number: int) -> None:
        async with engine.begin() as connection:
            await write_all(connection, [new_vote(tools[number % len(tools)])])

    return once


async def batched(engine: AsyncEngine, tools: list[str], seconds: float) -> tuple[str, float, float, float]:
    async with Writer(engine).running() as writer:

        async def once(number: int) -> None:
            await writer.submit(new_vote(tools[number % len(tools)]))

        return await measure("batched (ours)", once, seconds)


async def over_http(url: str, redis_url: str, tools: list[str], seconds: float) -> tuple[str, float, float, float]:
    """The whole way: HTTP, cookie, Redis, batch. Clients share the process and its one core with the server."""
    no_limit = {f"limit_{name}": 10**9 for name in ("voter_writes", "network_writes", "network_voters")}
    no_limit |= {f"limit_{name}": 10**9 for name in ("network_voters_all", "signal_voters", "speed_writes")}
    settings = Settings(
        database_url=url, kafka_bootstrap_servers="127.0.0.1:1", redis_url=redis_url, operator_key="bench", **no_limit
    )
    stop, listening = asyncio.Event(), bind("127.0.0.1", 0)
    async with api(settings) as running:
        serving = asyncio.create_task(serve(public_app(running, settings), listening, stop))
        port = listening.getsockname()[1]
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]

        async def once(number: int) -> None:
            reader, writer = connections[number]
            body = b'{"verdict":"ship"}'
            writer.write(
                f"PUT /votes/{tools[number % len(tools)]} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))

        result = await measure("batched, over HTTP, clients in the same process", once, seconds)
        for _, writer in connections:
            writer.close()
        stop.set()
        await serving
    return result


async def check(engine: AsyncEngine) -> None:
    """Each ballot has its outbox row: nothing was left out to be quick."""
    async with engine.connect() as connection:
        ballots = await connection.scalar(sa.text("SELECT count(*) FROM ballots"))
        assert ballots == await connection.scalar(sa.text("SELECT count(*) FROM outbox"))
        assert await connection.scalar(sa.text("SHOW fsync")) == "on"
        assert await connection.scalar(sa.text("SHOW synchronous_commit")) == "on"
    print(f"{ballots:,} votes written, each with its event; fsync and synchronous_commit on\n")


_voters = count()


def new_vote(tool: str) -> Write:
    return Write(tool, f"voter-{next(_voters)}", "ship", datetime.now(UTC), network="n", signal="s")


async def add_tool(engine: AsyncEngine) -> str:
    tool = str(uuid4())
    async with engine.begin() as connection:
        await connection.execute(
            sa.text("INSERT INTO tools VALUES (CAST(:id AS uuid), :id, 'Tool', 'published', 1)"), {"id": tool}
        )
    return tool


def machine() -> str:
    """The machine, in a few words."""
    found = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    load = os.getloadavg()[0]
    return (
        f"{found[0] if found else platform.processor()}, {os.cpu_count()} cores, load {load:.1f}, "
        f"Python {sys.version.split()[0]}, {datetime.now(UTC):%Y-%m-%d}"
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=5.0)
    asyncio.run(main(arguments.parse_args().seconds))
