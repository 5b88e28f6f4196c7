"""Committed offsets of consumer groups: a file of lines to which each commit is appended, rewritten when it starts.

A commit is answered when the operating system has it (it survives kill -9) and is fsynced soon after: a power cut may
take the last moments of commits, and those records are then delivered again, as Kafka's consumers must expect anyway.
"""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kio.schema.errors import ErrorCode

from shipjury_broker.errors import Refused
from shipjury_broker.logfile import write_durably

_REWRITE_AT = 16 << 20


class Committed(NamedTuple):
    offset: int
    metadata: str


class CommittedOffsets:
    """By group, then by (topic, partition)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._groups: dict[str, dict[tuple[str, int], Committed]] = {}
        if path.exists():
            self._load()
        self._open()

    def _load(self) -> None:
        for line in self.path.read_bytes().split(b"\n")[:-1]:  # the last piece is empty, or torn
            try:
                group, topic, partition, offset, metadata = json.loads(line)
            except ValueError:
                continue
            self._keep(group, topic, partition, Committed(offset, metadata))

    def _open(self) -> None:
        write_durably(self.path, b"".join(_line(*entry) for entry in self._entries()))
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size
        self._dirty = False

    def _entries(self) -> Iterator[tuple[str, str, int, int, str]]:
        for group, committed in self._groups.items():
            for (topic, partition), (offset, metadata) in committed.items():
                yield group, topic, partition, offset, metadata

    def _keep(self, group: str, topic: str, partition: int, committed: Committed) -> None:
        if committed.offset < 0:
            self._groups.get(group, {}).pop((topic, partition), None)
        else:
            self._groups.setdefault(group, {})[topic, partition] = committed

    def commit(self, group: str, topic: str, partition: int, offset: int, metadata: str) -> None:
        """Raises Refused(kafka_storage_error) if it can't be written; then the old offset stands."""
        line = _line(group, topic, partition, offset, metadata)
        try:
            _append(self._fd, line)
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise Refused(ErrorCode.kafka_storage_error, f"can't write offsets: {error.strerror}") from error
        self._size += len(line)
        self._dirty = True
        self._keep(group, topic, partition, Committed(offset, metadata))

    def fetch(self, group: str) -> dict[tuple[str, int], Committed]:
        return self._groups.get(group, {})

    def groups(self) -> list[str]:
        return [name for name, committed in self._groups.items() if committed]

    def forget(self, *, group: str | None = None, topic: str | None = None) -> None:
        """Drops a deleted group's or topic's offsets."""
        for name, topic_name, partition, *_ in list(self._entries()):
            if group in (None, name) and topic in (None, topic_name):
                self.commit(name, topic_name, partition, -1, "")

    def sync(self) -> None:
        """To disk, and a rewrite when the file has grown long. Blocks: for now and then, not for each commit."""
        if self._size > _REWRITE_AT:
            os.close(self._fd)
            self._open()
        elif self._dirty:
            self._dirty = False
            os.fdatasync(self._fd)

    def close(self) -> None:
        os.fdatasync(self._fd)
        os.close(self._fd)


def _append(fd: int, line: bytes) -> None:
    if os.write(fd, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(group: str, topic: str, partition: int, offset: int, metadata: str) -> bytes:
    return json.dumps([group, topic, partition, offset, metadata], separators=(",", ":")).encode() + b"\n"
