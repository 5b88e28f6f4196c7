"""The relay where the broker has transactions: all of a batch or nothing. (The real broker: ``tests/containers``.)"""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from sqlalchemy.ext.asyncio import create_async_engine

from shipjury_delivery.relay import Relay, _Row, _Sent
from shipjury_delivery.testing import World


class Producer:
    """Notes what it is asked; refuses rows whose value is large, fails those whose value says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hangs = False

    async def begin_transaction(self) -> None:
        self.asked.append("begin")

    async def partitions_for(self, _: str) -> set[int]:
        return {0}

    async def send(self, _topic: str, value: bytes, _key: bytes, headers: Any) -> "asyncio.Future[None]":
        if value == b"large":
            raise MessageSizeTooLargeError
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if value == b"fails":
            future.set_exception(KafkaTimeoutError())
        else:
            future.set_result(None)
        return future

    async def commit_transaction(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        self.asked.append("commit")

    async def abort_transaction(self) -> None:
        self.asked.append("abort")


@pytest.fixture
def relay() -> Relay:
    """A relay that is not running."""
    world = World("127.0.0.1:1", "postgresql+asyncpg://nobody@127.0.0.1:1/none", None, None, "g")  # type: ignore[arg-type]
    settings = world.settings(kafka_transactions=True)
    return Relay("test", create_async_engine(world.database_url), settings, asyncio.Event())


async def _send(relay: Relay, producer: Producer, *values: bytes, stop: asyncio.Event | None = None) -> _Sent:
    rows = [_Row(number, "topic", f"key-{number}", value, []) for number, value in enumerate(values)]
    return await relay._send_in_transaction(producer, rows, stop or asyncio.Event())


async def test_a_batch_that_is_sent_is_committed(relay: Relay) -> None:
    producer = Producer()
    assert (await _send(relay, producer, b"1", b"2")).ids == [0, 1]
    assert producer.asked == ["begin", "commit"]


async def test_one_refused_row_takes_the_batch_back_and_is_parked(relay: Relay) -> None:
    producer = Producer()
    sent = await _send(relay, producer, b"1", b"large", b"2")
    assert (sent.ids, list(sent.refused)) == ([], [1])
    assert producer.asked == ["begin", "abort"]


async def test_one_failure_takes_the_batch_back(relay: Relay) -> None:
    producer = Producer()
    sent = await _send(relay, producer, b"1", b"fails")
    assert (sent.ids, type(sent.failed)) == ([], KafkaTimeoutError)
    assert producer.asked == ["begin", "abort"]


async def test_a_relay_that_stops_waits_for_no_broker_and_marks_nothing(relay: Relay) -> None:
    producer, stop = Producer(), asyncio.Event()
    producer.hangs = True
    sending = asyncio.create_task(_send(relay, producer, b"1", stop=stop))
    await asyncio.sleep(0)
    stop.set()
    assert (await asyncio.wait_for(sending, 10)).ids == []
