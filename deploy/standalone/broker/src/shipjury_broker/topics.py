"""Topics: a folder each, with what they were created with, and one log a partition; and the fsync that they share."""

import asyncio
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kio.schema.errors import ErrorCode

from shipjury_broker.errors import Refused
from shipjury_broker.limits import Limits
from shipjury_broker.partition import Partition

log = logging.getLogger(__name__)
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_POLICIES = {"delete", "compact", "compact,delete", "delete,compact"}


@dataclass(frozen=True)
class Config:
    """A topic's settings, by Kafka's names: `cleanup.policy`, `retention.ms` (-1: for ever), `delete.retention.ms`."""

    cleanup_policy: str = "delete"
    retention_ms: int = -1
    delete_retention_ms: int = 86_400_000

    @classmethod
    def parse(cls, given: Mapping[str, str | None]) -> "Config":
        """Raises Refused(invalid_config) for a setting that this broker does not have."""
        values: dict[str, str | int] = {}
        for name, text in given.items():
            key = name.replace(".", "_")
            if key not in cls.__dataclass_fields__ or text is None:
                raise Refused(ErrorCode.invalid_config, f"{name}: this broker has {', '.join(cls().named())}")
            if key == "cleanup_policy":
                if text not in _POLICIES:
                    raise Refused(ErrorCode.invalid_config, f"cleanup.policy: {text!r} is neither delete nor compact")
                values[key] = text
            elif not re.fullmatch(r"-1|\d{1,18}", text):
                raise Refused(ErrorCode.invalid_config, f"{name}: {text!r} is no number of milliseconds")
            else:
                values[key] = int(text)
        return cls(**values)  # type: ignore[arg-type]

    @property
    def compacted(self) -> bool:
        return "compact" in self.cleanup_policy

    @property
    def deleted(self) -> bool:
        return "delete" in self.cleanup_policy

    def named(self) -> dict[str, str]:
        return {name.replace("_", "."): str(value) for name, value in asdict(self).items()}


@dataclass
class Topic:
    name: str
    config: Config
    partitions: list[Partition] = field(default_factory=list)


class Topics:
    """All topics under a folder. Creation and deletion are one rename each: there or not there, never half."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._topics: dict[str, Topic] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".*"):
            shutil.rmtree(leftover)

    def open(self) -> None:
        for folder in sorted(self._folder.iterdir()):
            self._open(folder)

    def _open(self, folder: Path) -> Topic:
        kept = json.loads((folder / "topic.json").read_text())
        topic = Topic(folder.name, Config(**kept["config"]))
        for number in range(kept["partitions"]):
            partition = Partition(folder / f"{number}.log")
            if partition.cut_bytes:
                log.warning("%s/%d: cut a torn tail of %d bytes", topic.name, number, partition.cut_bytes)
            topic.partitions.append(partition)
        self._topics[topic.name] = topic
        return topic

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._topics.values())

    def get(self, name: str) -> Topic | None:
        return self._topics.get(name)

    def partition(self, topic: str, number: int) -> Partition:
        found = self._topics.get(topic)
        if found is None or not 0 <= number < len(found.partitions):
            raise Refused(ErrorCode.unknown_topic_or_partition, f"{topic}/{number}")
        return found.partitions[number]

    def check(self, name: str, partitions: int, replicas: int, config: Mapping[str, str | None]) -> Config:
        """What creating the topic would refuse; returns its configuration."""
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise Refused(ErrorCode.invalid_topic_exception, "letters, digits, '.', '_', '-', at most 249 of them")
        if name in self._topics:
            raise Refused(ErrorCode.topic_already_exists, name)
        if replicas not in (-1, 1):
            raise Refused(ErrorCode.invalid_replication_factor, "one node, so one replica")
        if not 1 <= partitions <= self._limits.partitions_per_topic:
            raise Refused(ErrorCode.invalid_partitions, f"1 ... {self._limits.partitions_per_topic}")
        if sum(len(topic.partitions) for topic in self) + partitions > self._limits.partitions:
            raise Refused(ErrorCode.policy_violation, f"at most {self._limits.partitions} partitions in all")
        return Config.parse(config)

    def create(self, name: str, partitions: int, config: Config) -> None:
        draft = self._folder / f".new-{name}"
        try:
            draft.mkdir()
            description = {"partitions": partitions, "config": asdict(config)}
            write_durably(draft / "topic.json", json.dumps(description).encode())
            for number in range(partitions):
                Partition(draft / f"{number}.log").close()
            draft.rename(self._folder / name)
            sync_folder(self._folder)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise Refused(ErrorCode.kafka_storage_error, f"can't create {name}: {error.strerror}") from error
        self._open(self._folder / name)

    def delete(self, name: str) -> None:
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
        for topic in self:
            for partition in topic.partitions:
                partition.close()


class GroupCommit:
    """One fsync for everything that was written while the last one ran; latency of one, throughput of many."""

    def __init__(self) -> None:
        self._dirty: set[Partition] = set()
        self._wake = asyncio.Event()

    def request(self, partition: Partition) -> None:
        self._dirty.add(partition)
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            await asyncio.gather(*(self._sync(partition) for partition in dirty))

    async def _sync(self, partition: Partition) -> None:
        end, next_offset = partition.end, partition.next_offset
        try:
            await asyncio.to_thread(os.fdatasync, partition.fd)
        except OSError as error:
            log.error("%s: fsync failed: %s", partition.path, error)
            partition.sync_failed(error)
        else:
            partition.synced(end, next_offset)


def write_durably(path: Path, content: bytes) -> None:
    """Replaces a file in one step: after a crash it is the old one or the new one."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes names (created, renamed, removed) survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
