"""One partition: an append-only file, a sparse index over it, and the offset up to which it is safely on disk.

The file starts with 16 bytes (a mark and the log's start offset), then come batches as producers sent them. Readers see
a batch when it has been fsynced, never before; so nothing that a consumer saw can be gone after a power cut.
"""

import asyncio
import logging
import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatch
from kio.schema.errors import ErrorCode

from shipjury_broker.batches import HEADER_SIZE, Batch, is_sound, place, read_header
from shipjury_broker.errors import BrokerError, Refused
from shipjury_broker.producers import Producers

log = logging.getLogger(__name__)
_MARK = b"SJLOG\x00\x00\x01"
_FILE_HEADER = struct.Struct(">8sq")
FIRST_BATCH_AT = _FILE_HEADER.size
INDEX_EVERY = 4096
_SCAN_CHUNK = 4 << 20


class Partition:
    """One append-only log. Opening it recovers it: a torn or damaged tail is cut off at the last sound batch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.watchers: set[asyncio.Event] = set()
        self._unsynced: list[tuple[int, asyncio.Future[None]]] = []
        self.cut_bytes = 0
        self._recover()

    # -- recovery ---------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        self.producers = Producers()
        self._index_offset, self._index_at, self._index_time = array("q"), array("q"), array("q")
        size = os.fstat(self.fd).st_size
        if size < FIRST_BATCH_AT:  # new, or the machine stopped before the first fsync: nothing was acknowledged
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, _FILE_HEADER.pack(_MARK, 0), 0)
            os.fsync(self.fd)
            size = FIRST_BATCH_AT
        mark, self.log_start = _FILE_HEADER.unpack(os.pread(self.fd, FIRST_BATCH_AT, 0))
        if mark != _MARK:
            raise BrokerError(f"{self.path} is not a log of this broker (or of a later version of it)")
        self.end, self.next_offset = FIRST_BATCH_AT, self.log_start
        for at, batch, _ in scan(self.fd, FIRST_BATCH_AT, size):
            if batch.base_offset < self.next_offset:
                break
            self._remember(batch, at)
            self.producers.wrote(batch, batch.base_offset)
        if self.end < size:
            self.cut_bytes = size - self.end
            os.ftruncate(self.fd, self.end)
            os.fsync(self.fd)
        self.synced_end, self.high_watermark = self.end, self.next_offset

    def _remember(self, batch: Batch, at: int) -> None:
        if not self._index_at or at - self._index_at[-1] >= INDEX_EVERY:
            self._index_offset.append(batch.base_offset)
            self._index_at.append(at)
            self._index_time.append(batch.max_timestamp)
        elif batch.max_timestamp > self._index_time[-1]:
            self._index_time[-1] = batch.max_timestamp
        self.end, self.next_offset = at + batch.size, batch.next_offset

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, records: bytes, batch: Batch) -> int:
        """Writes a checked batch and returns its first offset; it counts when `durable()` is over.

        A full disk (or any failed write) leaves the file as it was and raises Refused(kafka_storage_error).
        """
        if (original := self.producers.original_offset(batch)) is not None:
            return original
        placed = place(records, self.next_offset)
        try:
            _write_fully(self.fd, placed, self.end)
        except OSError as error:
            os.ftruncate(self.fd, self.end)
            raise Refused(ErrorCode.kafka_storage_error, f"can't write {self.path.name}: {error.strerror}") from error
        placed_batch = batch._replace(base_offset=self.next_offset)
        self.producers.wrote(placed_batch, placed_batch.base_offset)
        self._remember(placed_batch, self.end)
        return placed_batch.base_offset

    def durable(self) -> asyncio.Future[None]:
        """Done when everything appended so far is on disk; raises Refused if the disk refuses."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.synced_end >= self.end:
            future.set_result(None)
        else:
            self._unsynced.append((self.end, future))
        return future

    def synced(self, end: int, next_offset: int) -> None:
        """Everything before `end` is on disk: producers get their answers, readers see it."""
        self.synced_end, self.high_watermark = end, next_offset
        waiting, self._unsynced = self._unsynced, []
        for needed, future in waiting:
            if needed > end:
                self._unsynced.append((needed, future))
            elif not future.done():
                future.set_result(None)
        for watcher in self.watchers:
            watcher.set()

    def sync_failed(self, error: OSError) -> None:
        """After a failed fsync nobody knows what the disk has: cut back to what it surely has, and refuse the rest."""
        os.ftruncate(self.fd, self.synced_end)
        self._recover()
        waiting, self._unsynced = self._unsynced, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(
                    Refused(ErrorCode.kafka_storage_error, f"can't fsync {self.path.name}: {error.strerror}")
                )

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Batches from the one that holds `offset` (or the next one, if compaction took it) up to the high watermark.

        At least one whole batch if there is any; the last one may be cut, as in Kafka. Raises Refused.
        """
        if not self.log_start <= offset <= self.next_offset:
            raise Refused(ErrorCode.offset_out_of_range, f"{self.log_start} ... {self.next_offset}")
        if offset >= self.high_watermark or max_bytes <= 0:
            return b""
        at = self._locate(offset)
        if at is None:
            return b""
        data = os.pread(self.fd, min(max_bytes, self.synced_end - at), at)
        if len(data) < HEADER_SIZE or read_header(data).size > len(data):
            data = os.pread(self.fd, read_header(os.pread(self.fd, HEADER_SIZE, at)).size, at)
        return data

    def _locate(self, offset: int) -> int | None:
        slot = max(bisect_right(self._index_offset, offset) - 1, 0)
        for at, batch in headers(self.fd, self._index_at[slot] if self._index_at else self.end, self.synced_end):
            if batch.last_offset >= offset:
                return at
        return None

    def offset_at(self, timestamp: int) -> tuple[int, int] | None:
        """Offset and timestamp of the first record at or after a time in ms, or None if there is none yet."""
        slot = next((i for i, latest in enumerate(self._index_time) if latest >= timestamp), None)
        if slot is None:
            return None
        for at, batch in headers(self.fd, self._index_at[slot], self.synced_end):
            if batch.max_timestamp >= timestamp:
                return self._first_at(timestamp, batch, at)
        return None

    def latest_time(self) -> int | None:
        """The latest timestamp of all records, in ms."""
        return max(self._index_time, default=None)

    def _first_at(self, timestamp: int, batch: Batch, at: int) -> tuple[int, int]:
        try:
            for record in DefaultRecordBatch(os.pread(self.fd, batch.size, at)):
                if record.timestamp >= timestamp:
                    return record.offset, record.timestamp
        except KafkaError as error:  # a codec that is not installed: the batch's start is early enough
            log.warning("%s: offset by time is the batch's: %s", self.path, error)
        return batch.base_offset, batch.first_timestamp

    def close(self) -> None:
        os.close(self.fd)


def headers(fd: int, at: int, end: int) -> Iterator[tuple[int, Batch]]:
    """Position and header of every batch in a part of a file that is known to be sound."""
    chunk, chunk_at = b"", at
    while at < end:
        if at + HEADER_SIZE > chunk_at + len(chunk):
            chunk, chunk_at = os.pread(fd, 2 * INDEX_EVERY, at), at
        batch = read_header(chunk, at - chunk_at)
        yield at, batch
        at += batch.size


def scan(fd: int, at: int, end: int) -> Iterator[tuple[int, Batch, memoryview]]:
    """Position, header and bytes of every batch from `at` on, until the end or the first one that is not sound."""
    chunk, chunk_at = memoryview(b""), at
    while at + HEADER_SIZE <= end:
        here = at - chunk_at
        if here + HEADER_SIZE > len(chunk):
            chunk, chunk_at, here = memoryview(os.pread(fd, _SCAN_CHUNK, at)), at, 0
        batch = read_header(chunk, here)
        if at + batch.size > end or batch.size < HEADER_SIZE:
            return
        if here + batch.size > len(chunk):
            chunk, chunk_at, here = memoryview(os.pread(fd, max(batch.size, _SCAN_CHUNK), at)), at, 0
        if not is_sound(batch, chunk, here):
            return
        yield at, batch, chunk[here : here + batch.size]
        at += batch.size


def start_file(path: Path, log_start: int) -> int:
    """A new, empty log file that begins at an offset; returns its descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(fd, _FILE_HEADER.pack(_MARK, log_start))
    return fd


def _write_fully(fd: int, data: bytearray, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
