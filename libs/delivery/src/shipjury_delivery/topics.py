"""Topics: made by us, with the promises of their contracts, never by a client that happened to ask."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import InvalidConfigurationError, TopicAlreadyExistsError, for_code

from shipjury_schemas import CONTRACTS, Topic

from .consume import Subscription
from .kafka import connection
from .settings import ServiceSettings

_log = structlog.get_logger("shipjury.delivery")

_EXISTS = TopicAlreadyExistsError.errno
_INVALID_CONFIG = InvalidConfigurationError.errno

EVENTS: tuple[Topic, ...] = tuple(contract.topic for contract in CONTRACTS)

# A dead letter is the message as it came, and why: it must fit where the message did.
DEAD_LETTER_BYTES = 2 * 1_048_576


class TopicRefused(Exception):
    """The broker does not make a topic; the text says which and why."""


def configuration(topic: Topic, replication: int) -> dict[str, str]:
    """Kafka's settings for what a topic promises."""
    settings = {"cleanup.policy": "delete", "retention.ms": "-1"}
    if topic.retention == "compacted":
        settings = {"cleanup.policy": "compact"}
    elif isinstance(topic.retention, timedelta):
        settings["retention.ms"] = str(int(topic.retention.total_seconds() * 1000))
    if replication >= 3:
        settings["min.insync.replicas"] = "2"
    return settings


async def ensure_topics(
    settings: ServiceSettings,
    subscriptions: Sequence[Subscription[Any]] = (),
    topics: Sequence[Topic] = EVENTS,
) -> list[str]:
    """Make the topics that are missing: each event's, and the dead letters' of the subscriptions.

    Returns the names of those made. Existing topics are left as they are. Raises ``KafkaError`` where the broker is
    away, :class:`TopicRefused` where it does not make one.
    """
    replication = settings.topic_replication
    wanted = {
        topic.name: NewTopic(
            topic.name, settings.topic_partitions, replication, topic_configs=configuration(topic, replication)
        )
        for topic in (*topics, *(one.contract.topic for one in subscriptions))
    }
    for one in subscriptions:
        name = one.contract.topic.dead_letters(one.group)
        wanted[name] = NewTopic(name, 1, replication, topic_configs={"cleanup.policy": "delete", "retention.ms": "-1"})
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        there = set(await admin.list_topics())
        missing = [new for name, new in wanted.items() if name not in there]
        return await _create(admin, missing) if missing else []
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[NewTopic]) -> list[str]:
    """Make topics; dead letters with room for the headers that they get, where the broker lets that be set."""
    larger = [_larger(new) if new.name.endswith(".dlq") else new for new in missing]
    codes = await _answers(admin, larger)
    unset = [new for new in missing if codes[new.name][0] == _INVALID_CONFIG]
    if unset:  # the embedded broker has one limit for all, well above a message's
        codes |= await _answers(admin, unset)
    made = [name for name, (code, _) in codes.items() if code == 0]
    refused = [f"{name}: {why}" for name, (code, why) in codes.items() if code not in {0, _EXISTS}]
    if made:
        _log.info("topics made", topics=made)
    if refused:
        raise TopicRefused("; ".join(refused))
    return made


async def _answers(admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> dict[str, tuple[int, str]]:
    response: Any = await admin.create_topics(list(topics))
    return {name: (code, (rest and rest[0]) or for_code(code).__name__) for name, code, *rest in response.topic_errors}


def _larger(topic: NewTopic) -> NewTopic:
    configs = {**topic.topic_configs, "max.message.bytes": str(DEAD_LETTER_BYTES)}
    return NewTopic(topic.name, topic.num_partitions, topic.replication_factor, topic_configs=configs)
