"""How fast the standalone's broker is on this machine, beside what a plain file with fsync allows in the same run.

    python bench/broker.py [--messages 200000] [--data FOLDER]

Starts a broker of its own, writes and reads with real clients, checks that every message came once and in order, and
prints a Markdown table. Latencies are of one message at a time; nothing is left behind.
"""

import argparse
import asyncio
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Consumer, Producer

SIZE = 200
ROUNDS = 500
GROUPS = 12
Row = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--data", type=Path, default=None, help="where to put the data; by default a temporary folder")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-broker-", dir=args.data))
    try:
        rows = asyncio.run(measure(folder, args.messages))
    finally:
        shutil.rmtree(folder)
    print(f"{machine(args.data or Path(tempfile.gettempdir()))}\n")
    width = max(len(name) for name, _ in rows)
    print(f"| {'What':<{width}} | Measured |\n| {'-' * width} | -------- |")
    for name, figure in rows:
        print(f"| {name:<{width}} | {figure} |")


async def measure(folder: Path, count: int) -> list[Row]:
    rows: list[Row] = []
    broker = BrokerProcess(folder / "data")
    rows.append(("start, no data", f"{broker.started_in:.2f} s"))
    rows.append(("memory, idle", broker.memory()))
    await create(broker.address, {"librd": 1, "aio": 1, "single": 1, "groups": 3})

    seconds = await asyncio.to_thread(librd_write, broker.address, "librd", count)
    rows.append((f"write {count:,} x {SIZE} B, librdkafka, acks=all, idempotent", throughput(count, seconds)))
    seconds = await asyncio.to_thread(librd_read, broker.address, "librd", count)
    rows.append((f"read {count:,}, librdkafka, each checked", throughput(count, seconds)))
    seconds = await aio_write(broker.address, "aio", count)
    rows.append((f"write {count:,} x {SIZE} B, aiokafka, acks=all, idempotent", throughput(count, seconds)))
    seconds = await aio_read(broker.address, "aio", count)
    rows.append((f"read {count:,}, aiokafka, each checked", throughput(count, seconds)))
    for client, topic in (("librdkafka", "librd"), ("aiokafka", "aio")):
        seconds, batches = plain_write(folder / "plain", folder / "data" / "topics" / topic / "0.log")
        rows.append((f"plain file: {client}'s {batches:,} batches, fsync after each", throughput(count, seconds)))

    rows.append(("acknowledged write, one at a time", latency(await aio_latencies(broker.address, "single"))))
    rows.append(("plain file: append and fsync, one at a time", latency(plain_latencies(folder / "plain"))))
    rows.append(("from send to a waiting consumer", latency(await end_to_end(broker.address, "single"))))
    seconds = await groups(broker.address, "groups")
    rows.append((f"{GROUPS} groups joined and with their partitions", f"{seconds:.2f} s"))
    rows.append(("memory, after all this", broker.memory()))

    rows.append(("clean stop", f"{broker.stop(signal.SIGTERM):.2f} s"))
    broker = BrokerProcess(folder / "data")
    rows.append((f"start with {2 * count:,} messages after a clean stop", f"{broker.started_in:.2f} s"))
    broker.stop(signal.SIGKILL)
    for index in (folder / "data").rglob("*.index"):
        index.unlink()
    broker = BrokerProcess(folder / "data")
    rows.append(("start with a scan of all of it (no index)", f"{broker.started_in:.2f} s"))
    await asyncio.to_thread(librd_read, broker.address, "librd", count)
    broker.stop(signal.SIGTERM)
    return rows


class BrokerProcess:
    """A broker of its own on a folder."""

    def __init__(self, data: Path) -> None:
        started = time.perf_counter()
        command = [sys.executable, "-m", "shipjury_broker", "--data", str(data), "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().removeprefix("ready: ").strip()
        self.started_in = time.perf_counter() - started

    def memory(self) -> str:
        return f"{psutil.Process(self._process.pid).memory_info().rss / 2**20:.0f} MiB resident"

    def stop(self, number: signal.Signals) -> float:
        started = time.perf_counter()
        self._process.send_signal(number)
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return time.perf_counter() - started


async def create(address: str, topics: dict[str, int]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1) for name, partitions in topics.items()])
    await admin.close()


def message(number: int) -> bytes:
    return b"%d" % number + b"x" * (SIZE - len(str(number)))


def check(number: int, value: bytes | None) -> None:
    assert value == message(number), f"message {number} is not where it belongs"


def librd_write(address: str, topic: str, count: int) -> float:
    producer = Producer(
        {"bootstrap.servers": address, "enable.idempotence": True, "queue.buffering.max.messages": count}
    )
    started = time.perf_counter()
    for number in range(count):
        producer.produce(topic, message(number))
    assert producer.flush(300) == 0
    return time.perf_counter() - started


def librd_read(address: str, topic: str, count: int) -> float:
    config = {"bootstrap.servers": address, "group.id": f"bench-{time.time()}", "auto.offset.reset": "earliest"}
    consumer = Consumer(config)
    consumer.subscribe([topic])
    started, number = time.perf_counter(), 0
    while number < count:
        for received in consumer.consume(10_000, timeout=10):
            assert received.error() is None
            check(number, received.value())
            number += 1
    seconds = time.perf_counter() - started
    consumer.close()
    return seconds


async def aio_write(address: str, topic: str, count: int) -> float:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True, linger_ms=5)
    await producer.start()
    started = time.perf_counter()
    for number in range(count):
        await producer.send(topic, message(number))
    await producer.flush()
    seconds = time.perf_counter() - started
    await producer.stop()
    return seconds


async def aio_read(address: str, topic: str, count: int) -> float:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    started, number = time.perf_counter(), 0
    while number < count:
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            for record in records:
                check(number, record.value)
                number += 1
    seconds = time.perf_counter() - started
    await consumer.stop()
    return seconds


async def aio_latencies(address: str, topic: str) -> list[float]:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    taken = [await _timed(lambda: producer.send_and_wait(topic, message(0))) for _ in range(ROUNDS)]
    await producer.stop()
    return taken


async def end_to_end(address: str, topic: str) -> list[float]:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="latest")
    await producer.start()
    await consumer.start()
    await consumer.seek_to_end()

    async def there_and_back() -> None:
        sending = await producer.send(topic, message(0))
        await consumer.getone()
        await sending

    taken = [await _timed(there_and_back) for _ in range(ROUNDS)]
    await consumer.stop()
    await producer.stop()
    return taken


async def groups(address: str, topic: str) -> float:
    consumers = [AIOKafkaConsumer(topic, bootstrap_servers=address, group_id=f"group-{n}") for n in range(GROUPS)]
    started = time.perf_counter()
    await asyncio.gather(*(consumer.start() for consumer in consumers))
    assert all(len(consumer.assignment()) == 3 for consumer in consumers)
    seconds = time.perf_counter() - started
    await asyncio.gather(*(consumer.stop() for consumer in consumers))
    return seconds


def plain_write(path: Path, log: Path) -> tuple[float, int]:
    """The broker's own batches again, into a plain file, with an fsync after each."""
    content, at, pieces = log.read_bytes(), 32, []
    while at < len(content):
        size = int.from_bytes(content[at + 8 : at + 12], "big") + 12
        pieces.append(content[at : at + size])
        at += size
    with path.open("wb", buffering=0) as file:
        started = time.perf_counter()
        for piece in pieces:
            file.write(piece)
            os.fdatasync(file.fileno())
        return time.perf_counter() - started, len(pieces)


def plain_latencies(path: Path) -> list[float]:
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            file.write(message(0))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return taken


async def _timed(action: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started


def throughput(count: int, seconds: float) -> str:
    return f"{seconds:.2f} s ({count / seconds:,.0f} messages/s, {count * SIZE / seconds / 1e6:.1f} MB/s)"


def latency(taken: list[float]) -> str:
    percentiles = statistics.quantiles(taken, n=100)
    return f"p50 {percentiles[49] * 1e3:.2f} ms, p99 {percentiles[98] * 1e3:.2f} ms"


def machine(folder: Path) -> str:
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "unknown CPU")
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(part.mountpoint)]
    file_system = max(mounts, key=lambda part: len(part.mountpoint)).fstype
    memory = psutil.virtual_memory().total / 2**30
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {file_system}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load at the end {busy}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


if __name__ == "__main__":
    main()
