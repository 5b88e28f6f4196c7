"""Topics: a folder each, with what they were created with, and one log a partition."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kio.schema.errors import ErrorCode

from shipjury_broker.compaction import tidy
from shipjury_broker.errors import BrokerError, Refused
from shipjury_broker.limits import Limits
from shipjury_broker.logfile import sync_folder, write_durably
from shipjury_broker.partition import Partition
from shipjury_broker.topic_config import TopicConfig

_NAME = re.compile(r"[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,248}")


@dataclass
class Topic:
    name: str
    config: TopicConfig
    partitions: list[Partition] = field(default_factory=list)


class Topics:
    """All topics under a folder. Creation and deletion are one rename each: there or not there, never half."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._topics: dict[str, Topic] = {}

    def open(self, now: int) -> None:
        """Recovers every topic, after what its policy takes away. `now` in ms since 1970. Raises BrokerError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".*"):
            shutil.rmtree(leftover)
        for folder in sorted(self._folder.iterdir()):
            self._open(folder, now)

    def _open(self, folder: Path, now: int | None = None) -> None:
        try:
            kept = json.loads((folder / "topic.json").read_text())
            topic = Topic(folder.name, TopicConfig(**kept["config"]))
            paths = [folder / f"{number}.log" for number in range(kept["partitions"])]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokerError(f"{folder} can't be read as a topic: {error}") from error
        self._topics[topic.name] = topic
        for path in paths:
            if now is not None:
                tidy(path, topic.config, now)
            topic.partitions.append(Partition(path))

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def get(self, name: str) -> Topic | None:
        return self._topics.get(name)

    def partition(self, topic: str, number: int) -> Partition:
        """Raises Refused(unknown_topic_or_partition)."""
        found = self._topics.get(topic)
        if found is None or not 0 <= number < len(found.partitions):
            raise Refused(ErrorCode.unknown_topic_or_partition, f"{topic}/{number}")
        return found.partitions[number]

    def check(self, name: str, partitions: int, replicas: int, config: Mapping[str, str | None]) -> TopicConfig:
        """What the topic would be kept with. Raises Refused if it can't be created."""
        if not _NAME.fullmatch(name):
            raise Refused(ErrorCode.invalid_topic_exception, "letters, digits, '.', '_', '-', at most 249 of them")
        if name in self._topics:
            raise Refused(ErrorCode.topic_already_exists, name)
        if replicas not in (-1, 1):
            raise Refused(ErrorCode.invalid_replication_factor, "one node, so one replica")
        if not 1 <= partitions <= self._limits.partitions_per_topic:
            raise Refused(ErrorCode.invalid_partitions, f"1 ... {self._limits.partitions_per_topic}")
        if sum(len(topic.partitions) for topic in self) + partitions > self._limits.partitions:
            raise Refused(ErrorCode.policy_violation, f"at most {self._limits.partitions} partitions in all")
        return TopicConfig.parse(config)

    def create(self, name: str, partitions: int, config: TopicConfig) -> None:
        """Raises Refused(kafka_storage_error)."""
        draft = self._folder / f".new-{name}"
        description = {"partitions": partitions, "config": asdict(config)}
        try:
            draft.mkdir()
            for number in range(partitions):
                Partition(draft / f"{number}.log").close()
            write_durably(draft / "topic.json", json.dumps(description).encode())
            draft.rename(self._folder / name)
            sync_folder(self._folder)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise Refused(ErrorCode.kafka_storage_error, f"can't create {name}: {error.strerror}") from error
        self._open(self._folder / name)

    def delete(self, name: str) -> None:
        """Raises Refused(unknown_topic_or_partition)."""
        topic = self._topics.pop(name, None)
        if topic is None:
            raise Refused(ErrorCode.unknown_topic_or_partition, name)
        grave = self._folder / f".deleted-{name}"
        (self._folder / name).rename(grave)
        sync_folder(self._folder)
        for partition in topic.partitions:
            partition.close()
        shutil.rmtree(grave)

    def close(self) -> None:
        """Brings everything to disk, with an index for a quick start."""
        for topic in self:
            for partition in topic.partitions:
                partition.settle()
                partition.close()
