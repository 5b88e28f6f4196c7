"""Creating, deleting and describing topics, for admin clients and `migrate`-time scripts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kio.schema.errors import ErrorCode

from shipjury_broker.errors import Refused
from shipjury_broker.handlers import NOW, OK, Answer
from shipjury_broker.limits import Limits
from shipjury_broker.offsets import CommittedOffsets
from shipjury_broker.protocol import Request
from shipjury_broker.topics import Topics

_TOPIC, _BROKER = 2, 4
_SET_ON_TOPIC, _DEFAULT = 1, 5


@dataclass(frozen=True)
class AdminHandlers:
    topics: Topics
    offsets: CommittedOffsets
    limits: Limits

    async def create_topics(self, request: Request) -> Answer:
        body = request.body
        return {"throttle_time": NOW, "topics": [self._create(topic, body.validate_only) for topic in body.topics]}

    def _create(self, asked: Any, validate_only: bool) -> Answer:
        partitions = len(asked.assignments) or (1 if asked.num_partitions == -1 else asked.num_partitions)
        answer: Answer = {"name": asked.name, "configs": None}

        def create() -> None:
            given = {config.name: config.value for config in asked.configs}
            replicas = 1 if asked.assignments else asked.replication_factor
            config = self.topics.check(asked.name, partitions, replicas, given)
            if not validate_only:
                self.topics.create(asked.name, partitions, config)

        answer |= _attempt(create)
        if answer["error_code"] == OK:
            answer |= {"num_partitions": partitions, "replication_factor": 1, "configs": []}
        return answer

    async def delete_topics(self, request: Request) -> Answer:
        answers = []
        for name in request.body.topic_names:

            def delete(name: str = name) -> None:
                self.topics.delete(name)
                self.offsets.forget(topic=name)

            answers.append({"name": name, **_attempt(delete)})
        return {"throttle_time": NOW, "responses": answers}

    async def describe_configs(self, request: Request) -> Answer:
        return {"throttle_time": NOW, "results": [self._describe(resource) for resource in request.body.resources]}

    def _describe(self, resource: Any) -> Answer:
        answer: Answer = {
            "error_code": OK,
            "error_message": None,
            "resource_type": resource.resource_type,
            "resource_name": resource.resource_name,
            "configs": [],
        }
        settings = {"message.max.bytes": str(self.limits.batch_size)} if resource.resource_type == _BROKER else {}
        source = _DEFAULT
        if resource.resource_type == _TOPIC:
            topic = self.topics.get(resource.resource_name)
            if topic is None:
                return answer | {"error_code": ErrorCode.unknown_topic_or_partition}
            settings, source = topic.config.named(), _SET_ON_TOPIC
        asked = resource.configuration_keys
        answer["configs"] = [
            {
                "name": name,
                "value": value,
                "read_only": True,
                "config_source": source,
                "is_sensitive": False,
                "synonyms": [],
                "documentation": None,
            }
            for name, value in settings.items()
            if not asked or name in asked
        ]
        return answer


def _attempt(action: Callable[[], None]) -> Answer:
    try:
        action()
    except Refused as refused:
        return {"error_code": refused.code, "error_message": refused.reason}
    return {"error_code": OK, "error_message": None}
