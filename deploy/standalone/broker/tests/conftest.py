"""Builders for the broker's tests: brokers in this process or in one that can be killed, batches, a raw client."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from kio.index import load_request_schema, load_response_schema
from kio.serial import entity_reader, entity_writer

from shipjury_broker import Broker
from shipjury_broker.protocol import build

Entry = tuple[bytes | None, bytes | None]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker in this process, on a fresh folder."""
    running = Broker(tmp_path / "data")
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def create_topic() -> Callable[..., Awaitable[str]]:
    async def create(address: str, name: str = "events", partitions: int = 1, **config: str) -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        try:
            named = {key.replace("_", "."): value for key, value in config.items()}
            answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=named)])
            assert [error[1] for error in answer.topic_errors] == [0], answer
        finally:
            await admin.close()
        return name

    return create


@pytest.fixture
def batch_of() -> Callable[..., bytes]:
    """A record batch as a producer sends it; timestamps count up from `timestamp` (ms)."""

    def build_batch(
        *entries: Entry,
        timestamp: int = 1_000,
        codec: int = 0,
        producer: tuple[int, int, int] = (-1, -1, -1),
    ) -> bytes:
        producer_id, epoch, sequence = producer
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=codec,
            is_transactional=0,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
            batch_size=1 << 30,
        )
        for number, (key, value) in enumerate(entries):
            builder.append(number, timestamp + number, key, value, [])
        return bytes(builder.build())

    return build_batch


class RawClient:
    """Speaks Kafka frame by frame, for what no real client would send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._sent = 0
        self.sent = asyncio.Event()

    async def ask(self, api_key: int, version: int, **fields: Any) -> Any:
        await self.send(api_key, version, **fields)
        return await self.receive(api_key, version)

    async def send(self, api_key: int, version: int, **fields: Any) -> None:
        schema: Any = load_request_schema(api_key, version)
        self._sent += 1
        header = {
            "request_api_key": api_key,
            "request_api_version": version,
            "correlation_id": self._sent,
            "client_id": "raw",
        }
        with _Frame() as frame:
            entity_writer(schema.__header_schema__)(frame, build(schema.__header_schema__, header))
            entity_writer(schema)(frame, build(schema, fields))
            self.writer.write(frame.framed())
        await self.writer.drain()
        self.sent.set()

    async def receive(self, api_key: int, version: int) -> Any:
        schema: Any = load_response_schema(api_key, version)
        answer = await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(4), "big"))
        _, read = entity_reader(schema.__header_schema__)(answer, 0)
        return entity_reader(schema)(answer, read)[0]

    async def produce(self, topic: str, records: bytes, acks: int = -1, **fields: Any) -> Any:
        """The answer for the one partition 0."""
        part = {"index": 0, "records": records}
        data = [{"name": topic, "partition_data": [part]}]
        fields = {"transactional_id": None, "acks": acks, "timeout": timedelta(seconds=5), "topic_data": data} | fields
        return (await self.ask(0, 9, **fields)).responses[0].partition_responses[0]

    async def fetch(self, topic: str, offset: int, max_wait: float = 0.0, max_bytes: int = 1 << 20) -> Any:
        """The answer for the one partition 0."""
        part = {"partition": 0, "fetch_offset": offset, "partition_max_bytes": max_bytes}
        answer = await self.ask(
            1,
            12,
            replica_id=-1,
            max_wait=timedelta(seconds=max_wait),
            min_bytes=1,
            max_bytes=1 << 24,
            topics=[{"topic": topic, "partitions": [part]}],
            forgotten_topics_data=[],
        )
        return answer.responses[0].partitions[0]


class _Frame:
    def __init__(self) -> None:
        self._parts = bytearray()

    def __enter__(self) -> "_Frame":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, data: bytes) -> int:
        self._parts += data
        return len(data)

    def framed(self) -> bytes:
        return len(self._parts).to_bytes(4, "big") + bytes(self._parts)


@pytest.fixture
def connect() -> Callable[[str], Any]:
    @asynccontextmanager
    async def connected(address: str) -> AsyncIterator[RawClient]:
        host, port = address.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield RawClient(reader, writer)
        finally:
            writer.close()

    return connected


@dataclass
class BrokerProcess:
    """A broker of its own, to be killed."""

    data: Path
    process: subprocess.Popen[str]
    address: str

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., BrokerProcess]]:
    started: list[BrokerProcess] = []

    def start(data: Path | None = None, port: int = 0, **options: Any) -> BrokerProcess:
        data = data or tmp_path / "data"
        command = [sys.executable, "-m", "shipjury_broker", "--data", str(data), "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready: "), line
        started.append(BrokerProcess(data, process, line.removeprefix("ready: ").strip()))
        return started[-1]

    yield start
    for broker in started:
        if broker.process.poll() is None:
            broker.kill()
        if broker.process.stdout is not None:
            broker.process.stdout.close()
