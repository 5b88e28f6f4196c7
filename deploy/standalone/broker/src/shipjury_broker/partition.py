"""One partition: an append-only file, an index over it, and the offset up to which it is safely on disk.

Readers see a batch when it has been fsynced, never before; so nothing that a consumer saw can be gone after a power
cut. Opening a partition recovers it: whatever follows the last sound batch (a torn write) is cut off.
"""

import asyncio
import logging
import os
from pathlib import Path

from kio.schema.errors import ErrorCode

from shipjury_broker.batches import HEADER_SIZE, Batch, place, read_header
from shipjury_broker.errors import Refused
from shipjury_broker.index import Index
from shipjury_broker.logfile import FIRST_BATCH_AT, headers, read_head, scan, write_fully, write_head
from shipjury_broker.producers import Producers
from shipjury_broker.records import Unreadable, read_records

log = logging.getLogger(__name__)


class Partition:
    """`end` and `next_offset` say what is written; `synced_end` and `high_watermark` what is on disk and served."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watchers: set[asyncio.Event] = set()
        self._unsynced: list[tuple[int, asyncio.Future[None]]] = []
        self._broken = ""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._recover()

    @property
    def _index_path(self) -> Path:
        return self.path.with_suffix(".index")

    def _recover(self) -> None:
        size = os.fstat(self.fd).st_size
        if size < FIRST_BATCH_AT:  # new, or gone before its first fsync: nothing was acknowledged
            os.ftruncate(self.fd, 0)
            write_head(self.fd, log_start=0)
            size = FIRST_BATCH_AT
        head = read_head(self.fd, self.path)
        self._file_id, self.log_start = head.file_id, head.log_start
        saved = Index.load(self._index_path, head.file_id)
        if saved is None or saved[1] > size:
            saved = Index(), FIRST_BATCH_AT, head.log_start, Producers()
        self._index, self.end, self.next_offset, self.producers = saved
        follows = self.next_offset if self.end > FIRST_BATCH_AT else 0  # the log may start within its first batch
        for at, batch, _ in scan(self.fd, self.end, size):
            if batch.base_offset < follows:  # a batch's checksum does not cover its offset
                break
            self._wrote(batch, at)
            follows = self.next_offset
        if self.end < size:
            log.warning("%s: cut a torn tail of %d bytes", self.path, size - self.end)
            os.ftruncate(self.fd, self.end)
        os.fsync(self.fd)
        self.synced_end, self.high_watermark = self.end, self.next_offset

    def _wrote(self, batch: Batch, at: int) -> None:
        self._index.add(batch, at)
        self.producers.wrote(batch, batch.base_offset)
        self.end, self.next_offset = at + batch.size, batch.next_offset

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, records: bytes, batch: Batch) -> int:
        """Writes a checked batch and returns its first offset; it counts when `durable()` is over.

        A full disk (or any failed write) leaves the file as it was and raises Refused(kafka_storage_error).
        """
        if self._broken:
            raise Refused(ErrorCode.kafka_storage_error, self._broken)
        if (original := self.producers.original_offset(batch)) is not None:
            return original
        try:
            write_fully(self.fd, place(records, self.next_offset), self.end)
        except OSError as error:
            os.ftruncate(self.fd, self.end)
            raise Refused(ErrorCode.kafka_storage_error, f"can't write {self.path}: {error.strerror}") from error
        placed = batch._replace(base_offset=self.next_offset)
        self._wrote(placed, self.end)
        return placed.base_offset

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
        self.wake()

    def sync_failed(self, error: OSError) -> None:
        """After a failed fsync nobody knows what the disk has: refuse what it may have lost, and cut it off.

        If that fails as well, the partition takes nothing more until the next start, which recovers it.
        """
        reason = f"can't fsync {self.path}: {error.strerror}"
        waiting, self._unsynced = self._unsynced, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(Refused(ErrorCode.kafka_storage_error, reason))
        try:
            os.ftruncate(self.fd, self.synced_end)
            self._recover()
        except OSError:
            self._broken = reason

    def wake(self) -> None:
        """Lets waiting fetches look again."""
        for watcher in self.watchers:
            watcher.set()

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Batches from the one that holds `offset` (or the next one, if compaction took it) up to the high watermark.

        At least one whole batch if there is any; the last one may be cut, as in Kafka. Raises Refused.
        """
        if self.fd < 0:
            raise Refused(ErrorCode.unknown_topic_or_partition, "deleted")
        if not self.log_start <= offset <= self.next_offset:
            raise Refused(ErrorCode.offset_out_of_range, f"{self.log_start} ... {self.next_offset}")
        start = self._index.before(offset)
        if start is None or offset >= self.high_watermark or max_bytes <= 0:
            return b""
        at = next(at for at, batch in headers(self.fd, start, self.synced_end) if batch.last_offset >= offset)
        data = os.pread(self.fd, min(max_bytes, self.synced_end - at), at)
        if len(data) < HEADER_SIZE or read_header(data).size > len(data):
            data = os.pread(self.fd, read_header(os.pread(self.fd, HEADER_SIZE, at)).size, at)
        return data

    def latest_time(self) -> int | None:
        """The latest timestamp of all records, in ms."""
        return self._index.latest_time()

    def offset_at(self, timestamp: int) -> tuple[int, int] | None:
        """Offset and timestamp of the first record at or after a time in ms, or None if there is none yet."""
        start = self._index.before_time(timestamp)
        for at, batch in headers(self.fd, start, self.synced_end) if start is not None else ():
            if batch.max_timestamp >= timestamp and batch.last_offset >= self.log_start:
                return self._first_at(timestamp, batch, at)
        return None

    def _first_at(self, timestamp: int, batch: Batch, at: int) -> tuple[int, int]:
        try:
            for record in read_records(os.pread(self.fd, batch.size, at)):
                if record.timestamp >= timestamp and record.offset >= self.log_start:
                    return record.offset, record.timestamp
        except Unreadable as error:  # the batch's start is early enough
            log.warning("%s: offset by time is the batch's: %s", self.path, error)
        return max(batch.base_offset, self.log_start), batch.first_timestamp

    def settle(self) -> None:
        """Before closing: everything to disk, with an index that makes the next start short (a failure only long)."""
        try:
            os.fdatasync(self.fd)
            self.synced(self.end, self.next_offset)
            self._index.save(self._index_path, self._file_id, self.synced_end, self.high_watermark, self.producers)
        except OSError as error:
            log.warning("%s: not settled: %s", self.path, error)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        os.close(fd)
        self.wake()
