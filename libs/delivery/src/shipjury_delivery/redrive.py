"""Reading dead letters, and sending them back through the group that they belong to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord

from . import dead_letters
from .dead_letters import REDRIVE_OF, DeadLetter
from .kafka import connection, consuming, producing
from .settings import KafkaSettings
from .topics import DEAD_LETTER_BYTES

_SUFFIX = ".dlq"


@dataclass(frozen=True)
class Found:
    """A dead letter and where it lies. ``redriven`` tells whether it was sent back; if it died again, it is new."""

    topic: str
    place: str
    letter: DeadLetter
    record: "ConsumerRecord[Any, Any]"
    redriven: bool


async def find(settings: KafkaSettings, group: str | None = None) -> list[Found]:
    """Every dead letter, of one group or of all, oldest first."""
    suffix = f".{group}{_SUFFIX}" if group else _SUFFIX
    partitions = await _partitions(settings, suffix)
    records = await _everything(settings, partitions) if partitions else []
    redriven = {(record.topic, of) for record in records if (of := dead_letters.redrive_of(record.headers))}
    found = []
    for record in records:
        letter = dead_letters.read(record.key, record.value, record.headers)
        if letter is not None and group in {None, letter.group}:
            place = f"{record.partition}@{record.offset}"
            found.append(Found(record.topic, place, letter, record, (record.topic, place) in redriven))
    return sorted(found, key=lambda one: one.letter.at)


async def redrive(settings: KafkaSettings, group: str, places: Collection[str] = ()) -> list[Found]:
    """Send a group's dead letters back to it, and to no other: all that were not yet, or those at ``places``.

    Each gets a copy in its dead-letter topic that the group's workers apply. Returns which.
    """
    chosen = [one for one in await find(settings, group) if not one.redriven and (not places or one.place in places)]
    if chosen:
        async with producing(settings, max_request_size=DEAD_LETTER_BYTES) as producer:
            for one in chosen:
                headers = [*one.record.headers, (REDRIVE_OF, one.place.encode())]
                await dead_letters.send(producer, one.topic, one.record.key, one.record.value, headers)
    return chosen


async def _partitions(settings: KafkaSettings, suffix: str) -> list[TopicPartition]:
    """The partitions of all topics whose names end so."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        topics: Any = await admin.describe_topics(
            sorted(one for one in await admin.list_topics() if one.endswith(suffix))
        )
    finally:
        await admin.close()
    return [TopicPartition(one["topic"], part["partition"]) for one in topics for part in one["partitions"]]


async def _everything(
    settings: KafkaSettings, partitions: Sequence[TopicPartition]
) -> "list[ConsumerRecord[Any, Any]]":
    """All records of partitions, up to their ends as they are now."""
    records: list[ConsumerRecord[Any, Any]] = []
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, auto_offset_reset="earliest")
    async with consuming(consumer):
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for some in (await consumer.getmany(timeout_ms=500)).values():
                records += some
    return records
