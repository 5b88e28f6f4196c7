"""Real clients on the broker: aiokafka, librdkafka (confluent-kafka) and FastStream, each as our services use them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as LibrdTopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource
from confluent_kafka.admin import NewTopic as LibrdTopic
from faststream.kafka import KafkaBroker, KafkaMessage

from shipjury_broker import Broker
from shipjury_broker.batches import read_header

CreateTopic = Callable[..., Awaitable[str]]
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]


async def consume(address: str, topic: str, count: int, **options: Any) -> list[bytes]:
    """The first `count` values as a group, or from the beginning without one."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest", **options)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def produce(address: str, topic: str, values: list[bytes], **options: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", **options)
    await producer.start()
    try:
        for sent in [await producer.send(topic, value, key=b"k") for value in values]:
            await sent
    finally:
        await producer.stop()


@pytest.mark.parametrize("codec", CODECS)
async def test_aiokafka_reads_what_aiokafka_wrote_in_any_compression(
    broker: Broker, create_topic: CreateTopic, connect: Callable[[str], Any], codec: str | None
) -> None:
    topic = await create_topic(broker.address)
    values = [b"%d " % number * 20 for number in range(200)]
    await produce(broker.address, topic, values, compression_type=codec, enable_idempotence=True)
    async with connect(broker.address) as client:
        stored = read_header((await client.fetch(topic, 0)).records)
    assert stored.attributes & 7 == CODECS.index(codec), "the batch is kept as it was sent"
    assert await consume(broker.address, topic, 200) == values


@pytest.mark.parametrize("codec", CODECS)
async def test_librdkafka_reads_what_librdkafka_wrote_in_any_compression(
    broker: Broker, create_topic: CreateTopic, codec: str | None
) -> None:
    topic = await create_topic(broker.address)
    values = [b"%d " % number * 20 for number in range(200)]
    await asyncio.to_thread(_librd_produce, broker.address, topic, values, codec)
    assert await asyncio.to_thread(_librd_consume, broker.address, topic, 200) == values
    assert await consume(broker.address, topic, 200) == values, "and aiokafka reads it too"


def _librd_produce(address: str, topic: str, values: list[bytes], codec: str | None = None) -> None:
    refused: list[object] = []
    producer = Producer(
        {"bootstrap.servers": address, "enable.idempotence": True, "compression.type": codec or "none", "linger.ms": 5}
    )
    for value in values:
        producer.produce(topic, value, key=b"k", on_delivery=lambda error, _: refused.append(error) if error else None)
    assert producer.flush(30) == 0
    assert refused == []


def _librd_consume(address: str, topic: str, count: int, group: str = "librd") -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        values: list[bytes] = []
        while len(values) < count:
            messages = consumer.consume(count - len(values), timeout=30)
            assert messages, f"only {len(values)} of {count} came"
            for message in messages:
                assert message.error() is None
                values.append(message.value() or b"")
        consumer.commit(asynchronous=False)
        return values
    finally:
        consumer.close()


async def test_a_group_goes_on_at_its_committed_offset_even_after_a_restart(
    broker: Broker, create_topic: CreateTopic
) -> None:
    topic = await create_topic(broker.address)
    await produce(broker.address, topic, [b"%d" % number for number in range(10)])
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=broker.address, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    for _ in range(4):
        await consumer.getone()
    await consumer.commit({TopicPartition(topic, 0): 4})
    await consumer.stop()
    await broker.stop()
    await broker.start()
    assert await consume(broker.address, topic, 6, group_id="g") == [b"%d" % number for number in range(4, 10)]


def collector(into: list[bytes]) -> Callable[[KafkaMessage], Awaitable[None]]:
    async def take(message: KafkaMessage) -> None:
        into.extend(record.value for record in message.raw_message)

    return take


async def test_twelve_faststream_groups_each_get_every_message_in_batches(
    broker: Broker, create_topic: CreateTopic, until: Callable[..., Awaitable[None]]
) -> None:
    topic = await create_topic(broker.address, partitions=3)
    app = KafkaBroker(broker.address, allow_auto_create_topics=False)
    got: dict[str, list[bytes]] = {f"service.on_{number}": [] for number in range(12)}
    for group, into in got.items():
        app.subscriber(topic, batch=True, group_id=group, auto_offset_reset="earliest")(collector(into))

    await app.connect()
    await asyncio.gather(*(subscriber.start() for subscriber in app.subscribers))
    try:
        values = [json.dumps({"n": number}).encode() for number in range(100)]
        for value in values:
            await app.publish(value, topic, key=value)
        await until(lambda: all(len(into) >= 100 for into in got.values()), seconds=30)
    finally:
        await app.stop()
    assert all(len(into) == 100 for into in got.values())


async def test_a_long_poll_returns_as_soon_as_there_is_something(broker: Broker, create_topic: CreateTopic) -> None:
    topic = await create_topic(broker.address)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.address, fetch_max_wait_ms=60_000)
    await consumer.start()
    try:
        await consumer.position(TopicPartition(topic, 0))  # it knows where the end is before something comes behind it
        waiting = asyncio.create_task(consumer.getone())
        await produce(broker.address, topic, [b"now"])
        assert (await asyncio.wait_for(waiting, 20)).value == b"now"
    finally:
        await consumer.stop()


async def test_an_offset_behind_the_log_is_reset_as_the_consumer_wishes(
    broker: Broker, create_topic: CreateTopic, until: Callable[..., Awaitable[None]]
) -> None:
    topic = await create_topic(broker.address)
    await produce(broker.address, topic, [b"first"])
    for group, reset, expected in (("early", "earliest", b"first"), ("late", "latest", b"second")):
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=broker.address, group_id=group, auto_offset_reset=reset, enable_auto_commit=False
        )
        await consumer.start()
        consumer.seek(TopicPartition(topic, 0), 1_000)
        waiting = asyncio.create_task(consumer.getone())
        if reset == "latest":
            await until(partial(_was_reset, consumer, TopicPartition(topic, 0)))
            await produce(broker.address, topic, [b"second"])
        assert (await asyncio.wait_for(waiting, 20)).value == expected
        await consumer.stop()


async def _was_reset(consumer: AIOKafkaConsumer, partition: TopicPartition) -> bool:
    return await consumer.position(partition) != 1_000


async def test_offsets_are_found_by_time(broker: Broker, create_topic: CreateTopic) -> None:
    topic = await create_topic(broker.address)
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    for number in range(5):
        await producer.send_and_wait(topic, b"%d" % number, timestamp_ms=1_000_000 + number * 1_000)
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.address)
    await consumer.start()
    partition = TopicPartition(topic, 0)
    try:
        found = await consumer.offsets_for_times({partition: 1_002_500})
        assert (found[partition].offset, found[partition].timestamp) == (3, 1_003_000)
        assert (await consumer.offsets_for_times({partition: 9_000_000}))[partition] is None
        assert await consumer.beginning_offsets([partition]) == {partition: 0}
        assert await consumer.end_offsets([partition]) == {partition: 5}
    finally:
        await consumer.stop()


async def test_admins_create_describe_and_delete_topics_and_groups(broker: Broker, create_topic: CreateTopic) -> None:
    def administer() -> None:
        admin = AdminClient({"bootstrap.servers": broker.address})
        config = {"cleanup.policy": "compact", "retention.ms": "1000"}
        admin.create_topics([LibrdTopic("tools", 3, 1, config=config)])["tools"].result(20)
        assert len(admin.list_topics(timeout=20).topics["tools"].partitions) == 3
        resource = ConfigResource(ConfigResource.Type.TOPIC, "tools")
        described = admin.describe_configs([resource])[resource].result(20)
        assert {name: described[name].value for name in config} == config
        _librd_produce(broker.address, "tools", [b"v"])
        _librd_consume(broker.address, "tools", 1, "readers")
        assert [group.group_id for group in admin.list_consumer_groups().result(20).valid] == ["readers"]
        assert admin.describe_consumer_groups(["readers"])["readers"].result(20).state.name == "EMPTY"
        admin.delete_consumer_groups(["readers"])["readers"].result(20)
        assert admin.list_consumer_groups().result(20).valid == []
        admin.delete_topics(["tools"])["tools"].result(20)
        assert "tools" not in admin.list_topics(timeout=20).topics

    await asyncio.to_thread(administer)


@pytest.mark.parametrize(
    ("name", "partitions", "replicas", "config", "code"),
    [
        ("../etc", 1, 1, {}, 17),
        ("..", 1, 1, {}, 17),
        ("a" * 250, 1, 1, {}, 17),
        ("events", 1, 1, {}, 36),
        ("t", 0, 1, {}, 37),
        ("t", 65, 1, {}, 37),
        ("t", 1, 3, {}, 38),
        ("t", 1, 1, {"min.insync.replicas": "1"}, 40),
        ("t", 1, 1, {"cleanup.policy": "shred"}, 40),
        ("t", 1, 1, {"retention.ms": "soon"}, 40),
    ],
)
async def test_a_topic_that_can_t_be_is_refused_with_kafka_s_error(
    broker: Broker,
    create_topic: CreateTopic,
    name: str,
    partitions: int,
    replicas: int,
    config: dict[str, str],
    code: int,
) -> None:
    await create_topic(broker.address, "events")
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, replicas, topic_configs=config)])
        assert [error[1] for error in answer.topic_errors] == [code]
        assert await admin.list_topics() == ["events"]
    finally:
        await admin.close()


async def test_topics_are_not_made_by_asking_for_them(broker: Broker) -> None:
    def ask() -> None:
        refused: list[KafkaError] = []
        producer = Producer({"bootstrap.servers": broker.address, "topic.metadata.propagation.max.ms": 100})
        producer.produce("nowhere", b"x", on_delivery=lambda error, _: refused.append(error))
        producer.flush(30)
        assert refused[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
        assert list(AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=20).topics) == []

    await asyncio.to_thread(ask)


async def test_a_message_that_is_too_large_is_refused_and_the_next_one_taken(
    broker: Broker, create_topic: CreateTopic
) -> None:
    topic = await create_topic(broker.address)
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, max_request_size=4 << 20)
    await producer.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, b"x" * (2 << 20))
        await producer.send_and_wait(topic, b"small")
    finally:
        await producer.stop()
    assert await consume(broker.address, topic, 1) == [b"small"]


async def test_a_transactional_producer_is_told_at_once_that_there_are_no_transactions(broker: Broker) -> None:
    def begin() -> None:
        producer = Producer({"bootstrap.servers": broker.address, "transactional.id": "relay"})
        with pytest.raises(KafkaException) as refused:
            producer.init_transactions(20)
        assert refused.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED

    await asyncio.to_thread(begin)


async def test_a_committed_offset_can_be_read_by_others(broker: Broker, create_topic: CreateTopic) -> None:
    topic = await create_topic(broker.address)
    await produce(broker.address, topic, [b"1", b"2", b"3"])
    await asyncio.to_thread(_librd_consume, broker.address, topic, 2, "g")
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "g"})
    committed = await asyncio.to_thread(consumer.committed, [LibrdTopicPartition(topic, 0)], 20)
    consumer.close()
    assert committed[0].offset in (2, 3), "librdkafka commits what it handed out"
