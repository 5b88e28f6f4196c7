"""Readers of our own, outside FastStream: how they end."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from shipjury_delivery.kafka import consuming


async def test_a_reader_ends_well_where_aiokafka_lets_a_cancellation_of_its_own_out(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    closed: list[bool] = []
    close = consumer._client.close

    async def told() -> None:
        closed.append(True)
        await close()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async with consuming(consumer):
        monkeypatch.setattr(consumer._client, "close", told)
        monkeypatch.setattr(consumer._fetcher, "close", cancelled)
    assert closed, "its connections are closed though its stop broke off"


async def test_a_reader_that_finds_no_broker_says_so_and_leaves_nothing_open() -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(KafkaConnectionError):
        async with consuming(consumer):
            raise AssertionError("nothing is there to read")
    assert consumer._closed
