"""How fast a subscriber applies events: in batches, one commit a message, and the bare consumer as the limit.

    python bench/delivery.py                    the table, on the embedded broker and database
    python bench/delivery.py --outage 600       takes the broker away for ten minutes while events are published
    DELIVERY_KAFKA_BOOTSTRAP=... DELIVERY_DATABASE_URL=... python bench/delivery.py     on others

Each row: messages a second from the first fetch to the last effect, events of about 300 bytes in six partitions, a
handler that writes one row an event. The database is as durable as it comes (fsync on). "CPU each" is this process's
own processor time a message, which a busy machine changes less than the seconds.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer
from sqlalchemy.engine import make_url

from shipjury_delivery.testing import World, a_world, happened, sequence, until
from shipjury_delivery.topics import ensure_topics
from shipjury_standalone import children
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.ports import answers, free_port

KEYS = [f"tool-{number}" for number in range(50)]
TEXT = "x" * 200


class EmbeddedBroker:
    """The embedded broker, as a process that can be taken away."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.bootstrap = f"127.0.0.1:{self._port}"
        self._child: children.Child | None = None

    def start(self) -> None:
        """Start it on its data."""
        self._child = children.start(
            "The broker",
            [sys.executable, "-m", "shipjury_broker", "--data", str(self._folder), "--port", str(self._port)],
            log=lambda _: None,
            environment=dict(os.environ),
        )
        self._child.wait_until(lambda: answers(self._port), seconds=30)

    def stop(self) -> None:
        """End it."""
        if self._child:
            self._child.stop()


@contextlib.contextmanager
def _parts(folder: Path) -> Iterator[tuple[str, str, EmbeddedBroker | None]]:
    """Bootstrap servers, a database's URL, and the broker where it is ours."""
    kafka, database = os.environ.get("DELIVERY_KAFKA_BOOTSTRAP"), os.environ.get("DELIVERY_DATABASE_URL")
    if kafka and database:
        yield kafka, database, None
        return
    broker, server = EmbeddedBroker(folder / "broker"), Postgres(folder / "postgres")
    server.start()
    broker.start()
    try:
        yield broker.bootstrap, server.url("postgres"), broker
    finally:
        broker.stop()
        server.stop()


@contextlib.asynccontextmanager
async def _world(kafka: str, database: str) -> AsyncIterator[World]:
    """A world in a database of its own."""
    server = make_url(database)
    name = f"bench_{os.getpid()}_{time.time_ns()}"
    admin = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        async with a_world(kafka, server.set(database=name).render_as_string(hide_password=False)) as world:
            yield world
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def _fill(world: World, messages: int) -> None:
    per_key = messages // len(KEYS)
    for start in range(1, per_key + 1, 100):
        numbers = range(start, min(start + 100, per_key + 1))
        await world.produce(*(happened(world.contract, key, number, TEXT) for number in numbers for key in KEYS))


async def _worker(world: World, messages: int, batch: int) -> float:
    """Seconds that a worker takes, by the database's clock, from its first effect to its last."""
    began = time.perf_counter()

    async def all_there() -> bool:
        return bool(await world.scalar("SELECT count(*) FROM ledger") >= messages)

    async with world.worker(world.subscription(), consume_batch=batch):
        await until(lambda: _first(world), 60)
        began = time.perf_counter()
        await until(all_there, 900)
        return time.perf_counter() - began


async def _first(world: World) -> bool:
    return bool(await world.scalar("SELECT EXISTS (SELECT 1 FROM ledger)"))


async def _bare(world: World, messages: int) -> float:
    """Seconds that aiokafka takes to hand the messages over, with nothing done."""
    consumer = AIOKafkaConsumer(world.topic, bootstrap_servers=world.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        seen, began = 0, time.perf_counter()
        while seen < messages:
            seen += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
        return time.perf_counter() - began
    finally:
        await consumer.stop()


async def table(kafka: str, database: str, messages: int) -> None:
    """Print the table."""
    few = max(messages // 20 // len(KEYS) * len(KEYS), len(KEYS))
    rows: list[tuple[str, int, Callable[[World, int], Awaitable[float]]]] = [
        ("bare aiokafka consumer, nothing done", messages, _bare),
        ("worker, batches of 500, one commit each", messages, lambda world, count: _worker(world, count, 500)),
        ("worker, batches of 2000, one commit each", messages, lambda world, count: _worker(world, count, 2000)),
        ("worker, one commit a message", few, lambda world, count: _worker(world, count, 1)),
    ]
    print(f"{'':45} {'messages':>9} {'seconds':>8} {'a second':>9} {'CPU each':>10}")
    for name, count, measured in rows:
        async with _world(kafka, database) as world:
            await _fill(world, count)
            busy = _cpu()
            seconds = await measured(world, count)
            _line(name, count, seconds, _cpu() - busy)
    async with _world(kafka, database) as world:
        await ensure_topics(world.settings(topic_partitions=6), [], [world.contract.topic])
        per_key = messages // len(KEYS)
        for start in range(1, per_key + 1, 10):
            numbers = range(start, min(start + 10, per_key + 1))
            await world.publish(*(happened(world.contract, key, number, TEXT) for number in numbers for key in KEYS))
        began, busy = time.perf_counter(), _cpu()
        async with world.worker(relay=True, outbox_batch=2000):
            await until(lambda: _all_sent(world), 300)
            _line("outbox relay, batches of 2000", messages, time.perf_counter() - began, _cpu() - busy)


def _line(name: str, count: int, seconds: float, busy: float) -> None:
    each = f"{busy / count * 1e6:,.0f} µs"
    print(f"{name:45} {count:9,} {seconds:8.2f} {count / seconds:9,.0f} {each:>10}", flush=True)


async def _all_sent(world: World) -> bool:
    return bool(await world.scalar("SELECT NOT EXISTS (SELECT 1 FROM outbox WHERE sent_at IS NULL)"))


async def outage(kafka: str, database: str, broker: EmbeddedBroker, seconds: int) -> None:
    """Take the broker away while events are published; then hold the ledger to every one of them, in order."""
    async with _world(kafka, database) as world, world.worker(world.subscription(), relay=True):
        await world.publish(*sequence(world.contract, KEYS, [1]))
        await world.until_numbers({key: [1] for key in KEYS})
        broker.stop()
        busy, ends, number = _cpu(), time.monotonic() + seconds, 1
        while time.monotonic() < ends:
            number += 1
            await world.publish(*sequence(world.contract, KEYS, [number]))
            await asyncio.sleep(1)
        busy = _cpu() - busy
        broker.start()
        began = time.perf_counter()
        await world.until_numbers({key: range(1, number + 1) for key in KEYS}, seconds=120)
        caught_up = time.perf_counter() - began
        print(f"broker away                {seconds:8} s")
        print(f"events published meanwhile {(number - 1) * len(KEYS):8,}, each applied once, in order per key")
        print(f"processor time meanwhile   {busy:8.1f} s ({busy / seconds:.1%} of a core, publishing included)")
        print(f"caught up after            {caught_up:8.1f} s")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=40_000, help="how many, rounded to a multiple of 50")
    parser.add_argument("--outage", type=int, default=0, metavar="SECONDS", help="take the broker away for so long")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    messages = arguments.messages // len(KEYS) * len(KEYS)
    with tempfile.TemporaryDirectory(prefix="shipjury-bench-") as folder, _parts(Path(folder)) as parts:
        kafka, database, broker = parts
        if not arguments.outage:
            asyncio.run(table(kafka, database, messages))
        elif broker is None:
            raise SystemExit("--outage needs the embedded broker, which it may take away")
        else:
            asyncio.run(outage(kafka, database, broker, arguments.outage))


if __name__ == "__main__":
    main()
