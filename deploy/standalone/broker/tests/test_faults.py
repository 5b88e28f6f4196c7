"""What must not be lost or taken down: kill -9 under load, full and failing disks, strangers' bytes, too many."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from shipjury_broker import Broker
from shipjury_broker.errors import BrokerError
from shipjury_broker.limits import Limits

CreateTopic = Callable[..., Awaitable[str]]
Until = Callable[..., Awaitable[None]]
StartProcess = Callable[..., Any]
Build = Callable[..., bytes]
_MINUTE = timedelta(minutes=1)


async def everything(address: str, topic: str, partitions: int = 1) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(partitions)]
        ends = await consumer.end_offsets(parts)
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        found: list[bytes] = []
        for _ in range(sum(ends.values())):
            found.append((await asyncio.wait_for(consumer.getone(), 30)).value)
        return found
    finally:
        await consumer.stop()


async def test_nothing_acknowledged_is_lost_or_doubled_by_kill_9_under_load(
    start_process: StartProcess, create_topic: CreateTopic, until: Until
) -> None:
    """Three kills in one stream of an idempotent producer that retries by itself."""
    broker = start_process()
    port = int(broker.address.rsplit(":", 1)[1])
    topic = await create_topic(broker.address, partitions=3)
    patient = {"request_timeout_ms": 60_000, "retry_backoff_ms": 50}
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all", enable_idempotence=True, **patient)
    await producer.start()
    acknowledged: list[bytes] = []
    stop = asyncio.Event()

    async def load(worker: int) -> None:
        number = 0
        while not stop.is_set():
            value = b"%d-%d" % (worker, number)
            await producer.send_and_wait(topic, value, key=value)
            acknowledged.append(value)
            number += 1

    workers = [asyncio.create_task(load(worker)) for worker in range(8)]
    for _ in range(3):
        reached = len(acknowledged) + 150
        await until(lambda reached=reached: len(acknowledged) >= reached, seconds=60)
        broker.kill()
        broker = start_process(port=port)
    reached = len(acknowledged) + 150
    await until(lambda: len(acknowledged) >= reached, seconds=60)
    stop.set()
    await asyncio.gather(*workers)
    await producer.stop()
    found = await everything(broker.address, topic, 3)
    assert sorted(found) == sorted(acknowledged)


async def test_committed_offsets_survive_kill_9(start_process: StartProcess, create_topic: CreateTopic) -> None:
    broker = start_process()
    topic = await create_topic(broker.address)
    options = {"group_id": "g", "enable_auto_commit": False, "auto_offset_reset": "earliest"}
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.address, **options)
    await consumer.start()
    await consumer.commit({TopicPartition(topic, 0): 0})
    await consumer.commit({TopicPartition(topic, 0): (0, "a note")})
    await consumer.stop()
    broker.kill()
    with (broker.data / "offsets.jsonl").open("ab") as file:
        file.write(b'["g","events",0,99')  # torn by the crash
    again = start_process()
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=again.address, **options)
    await consumer.start()
    assert await consumer.committed(TopicPartition(topic, 0)) == 0
    await consumer.stop()


async def test_sigterm_ends_even_waiting_fetches_and_the_next_start_has_everything(
    start_process: StartProcess, create_topic: CreateTopic, connect: Callable[[str], Any]
) -> None:
    broker = start_process()
    topic = await create_topic(broker.address)
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    await producer.send_and_wait(topic, b"kept")
    async with connect(broker.address) as client:
        waiting = asyncio.create_task(client.fetch(topic, 1, max_wait=30))
        await client.sent.wait()
        broker.process.send_signal(signal.SIGTERM)
        assert broker.process.wait(timeout=20) == 0
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await waiting
    await producer.stop()
    assert (broker.data / "topics" / topic / "0.index").exists()
    assert await everything(start_process().address, topic) == [b"kept"]


async def test_a_full_disk_refuses_with_a_storage_error_and_takes_more_when_there_is_room_again(
    start_process: StartProcess, create_topic: CreateTopic, connect: Callable[[str], Any], batch_of: Build
) -> None:
    broker = start_process()
    topic = await create_topic(broker.address)
    async with connect(broker.address) as client:
        assert (await client.produce(topic, batch_of((b"k", b"before")))).error_code == ErrorCode.none
        _, hard = resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (20_000, hard))
        log = broker.data / "topics" / topic / "0.log"
        size = log.stat().st_size
        for _ in range(3):
            refused = await client.produce(topic, batch_of((b"k", b"x" * 30_000)))
            assert refused.error_code == ErrorCode.kafka_storage_error
            assert log.stat().st_size == size, "nothing torn is left behind"
        assert (await client.produce(topic, batch_of((b"k", b"small")))).error_code == ErrorCode.none
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert (await client.produce(topic, batch_of((b"k", b"y" * 30_000)))).base_offset == 2
    broker.kill()
    assert await everything(start_process().address, topic) == [b"before", b"small", b"y" * 30_000]


async def test_a_failing_fsync_is_answered_with_a_storage_error_and_its_batch_is_never_seen(
    broker: Broker,
    create_topic: CreateTopic,
    connect: Callable[[str], Any],
    batch_of: Build,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = await create_topic(broker.address)
    healthy = os.fdatasync

    def failing(fd: int) -> None:
        monkeypatch.setattr(os, "fdatasync", healthy)
        raise OSError(5, "Input/output error")

    async with connect(broker.address) as client:
        assert (await client.produce(topic, batch_of((b"k", b"1")))).base_offset == 0
        monkeypatch.setattr(os, "fdatasync", failing)
        refused = await client.produce(topic, batch_of((b"k", b"lost")))
        assert (refused.error_code, refused.base_offset) == (ErrorCode.kafka_storage_error, -1)
        assert (await client.produce(topic, batch_of((b"k", b"2")))).base_offset == 1
    assert await everything(broker.address, topic) == [b"1", b"2"]


async def test_a_retry_of_an_idempotent_producer_is_answered_with_the_first_offset(
    broker: Broker, create_topic: CreateTopic, connect: Callable[[str], Any], batch_of: Build
) -> None:
    topic = await create_topic(broker.address)
    async with connect(broker.address) as client:
        producer_id = (await client.ask(22, 1, transactional_id=None, transaction_timeout=_MINUTE)).producer_id
        batches = [batch_of((b"k", b"%d" % number), producer=(producer_id, 0, number)) for number in range(3)]
        offsets = [(await client.produce(topic, batch)).base_offset for batch in [*batches, *batches]]
    assert offsets == [0, 1, 2, 0, 1, 2]
    assert await everything(broker.address, topic) == [b"0", b"1", b"2"]


async def test_a_corrupted_batch_is_refused_and_nothing_of_it_kept(
    broker: Broker, create_topic: CreateTopic, connect: Callable[[str], Any], batch_of: Build
) -> None:
    topic = await create_topic(broker.address)
    corrupted = bytearray(batch_of((b"k", b"value")))
    corrupted[-2] ^= 0xFF
    async with connect(broker.address) as client:
        assert (await client.produce(topic, bytes(corrupted))).error_code == ErrorCode.corrupt_message
        assert (await client.produce("nowhere", batch_of((b"k", b"v")))).error_code == ErrorCode(3)
        assert (await client.produce(topic, batch_of((b"k", b"v")), acks=7)).error_code == ErrorCode(21)
        assert (await client.fetch(topic, 0)).records == b""
        assert (await client.fetch(topic, 1)).error_code == ErrorCode.offset_out_of_range


async def test_many_requests_in_flight_are_answered_in_their_order(
    broker: Broker, create_topic: CreateTopic, connect: Callable[[str], Any], batch_of: Build
) -> None:
    topic = await create_topic(broker.address)
    async with connect(broker.address) as client:
        for number in range(200):
            part = {"index": 0, "records": batch_of((b"k", b"%d" % number))}
            data = [{"name": topic, "partition_data": [part]}]
            await client.send(0, 9, transactional_id=None, acks=-1, timeout=_MINUTE, topic_data=data)
        answers = [await client.receive(0, 9) for _ in range(200)]
    offsets = [answer.responses[0].partition_responses[0].base_offset for answer in answers]
    assert offsets == list(range(200))


async def test_a_request_over_the_limit_ends_its_connection_only(
    broker: Broker, create_topic: CreateTopic, connect: Callable[[str], Any]
) -> None:
    topic = await create_topic(broker.address)
    async with connect(broker.address) as client:
        client.writer.write((1 << 30).to_bytes(4, "big"))
        assert await asyncio.wait_for(client.reader.read(), 10) == b""
    assert await everything(broker.address, topic) == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frame=st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda key, version, rest: key.to_bytes(2, "big") + version.to_bytes(2, "big") + rest,
            st.sampled_from([0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 22, 32, 42]),
            st.integers(0, 12),
            st.binary(max_size=60),
        ),
    )
)
def test_strange_bytes_never_stop_the_broker(frame: bytes, stranger: Any) -> None:
    stranger(frame)


@pytest.fixture
def stranger(start_process: StartProcess) -> Callable[[bytes], None]:
    """Sends one frame and hangs up, then sees that the broker still answers everybody else."""
    broker = start_process(stderr=subprocess.DEVNULL)
    host, port = broker.address.rsplit(":", 1)
    hello = bytes.fromhex("0012000000000001ffff")

    def send(frame: bytes) -> None:
        with socket.create_connection((host, int(port)), timeout=10) as other:
            other.sendall(len(frame).to_bytes(4, "big") + frame)
        with socket.create_connection((host, int(port)), timeout=10) as friend:
            friend.sendall(len(hello).to_bytes(4, "big") + hello)
            assert len(friend.recv(8)) == 8
        assert broker.process.poll() is None

    return send


async def test_connections_beyond_the_limit_are_closed_and_the_others_served(
    tmp_path: Path, connect: Callable[[str], Any]
) -> None:
    broker = Broker(tmp_path, limits=Limits(connections=2))
    await broker.start()
    try:
        async with connect(broker.address) as first, connect(broker.address) as second:
            for client in (first, second):
                assert (await client.ask(18, 0)).error_code == ErrorCode.none
            async with connect(broker.address) as third:
                assert await asyncio.wait_for(third.reader.read(), 10) == b""
            assert (await first.ask(18, 0)).error_code == ErrorCode.none
    finally:
        await broker.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])
def test_only_loopback_is_bound(tmp_path: Path, host: str) -> None:
    with pytest.raises(BrokerError, match="loopback only"):
        Broker(tmp_path, host)


def test_the_command_says_in_one_sentence_why_it_can_t_start(tmp_path: Path, start_process: StartProcess) -> None:
    running = start_process()
    port = running.address.rsplit(":", 1)[1]
    (tmp_path / "file").write_text("not a folder")
    broken = tmp_path / "broken" / "topics" / "t"
    broken.mkdir(parents=True)
    (broken / "topic.json").write_text("{")
    for data, arguments, sentence in [
        (tmp_path / "other", ["--port", port], f"port {port} on 127.0.0.1 can't be had: "),
        (running.data, ["--port", "0"], f"{running.data} is in use by another broker"),
        (tmp_path / "other", ["--port", "0", "--host", "0.0.0.0"], "the broker listens on loopback only"),
        (tmp_path / "file", ["--port", "0"], f"the broker can't use {tmp_path / 'file'}"),
        (tmp_path / "broken", ["--port", "0"], f"{broken} can't be read as a topic"),
    ]:
        command = [sys.executable, "-m", "shipjury_broker", "--data", str(data), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert ended.returncode == 1
        assert ended.stderr.startswith(sentence)
        assert ended.stderr.count("\n") == 1


async def test_a_producer_without_acknowledgement_is_served_too(
    broker: Broker, create_topic: CreateTopic, until: Until
) -> None:
    topic = await create_topic(broker.address)
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks=0)
    await producer.start()
    await producer.send_and_wait(topic, b"fire and forget")
    await producer.stop()

    async def arrived() -> bool:
        return await everything(broker.address, topic) == [b"fire and forget"]

    await until(arrived)


async def test_who_waits_for_a_topic_that_is_deleted_is_told(
    broker: Broker, create_topic: CreateTopic, connect: Callable[[str], Any], until: Until
) -> None:
    topic = await create_topic(broker.address)
    async with connect(broker.address) as reader, connect(broker.address) as admin:
        waiting = asyncio.create_task(reader.fetch(topic, 0, max_wait=30))
        await asyncio.sleep(0)
        deleted = await admin.ask(20, 1, topic_names=(topic,), timeout=_MINUTE)
        assert deleted.responses[0].error_code == ErrorCode.none
        assert (await asyncio.wait_for(waiting, 20)).error_code == ErrorCode.unknown_topic_or_partition
