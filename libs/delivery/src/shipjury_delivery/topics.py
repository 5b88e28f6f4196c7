"""Topics: made by us, with the promises of their contracts, never by a client that happened to ask."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shipjury_schemas import CONTRACTS, Topic

from .consume import Subscription
from .kafka import connection
from .settings import ServiceSettings

_log = structlog.get_logger("shipjury.delivery")

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
        configs = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(DEAD_LETTER_BYTES)}
        wanted[name] = NewTopic(name, 1, replication, topic_configs=configs)
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        missing = [new for name, new in wanted.items() if name not in set(await admin.list_topics())]
        return await _create(admin, missing) if missing else []
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[NewTopic]) -> list[str]:
    response: Any = await admin.create_topics(list(missing))
    made, refused = [], []
    for name, code, *rest in response.topic_errors:
        error: type[KafkaError] = for_code(code)
        if code == 0:
            made.append(name)
        elif error is not TopicAlreadyExistsError:
            refused.append(f"{name}: {(rest and rest[0]) or error.__name__}")
    if made:
        _log.info("topics made", topics=made)
    if refused:
        raise TopicRefused("; ".join(refused))
    return made
