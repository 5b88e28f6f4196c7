"""What a topic's policy takes away when the broker starts: records past their time, values that newer ones replaced.

Offsets never change: what goes leaves a gap, and a consumer in the middle reads on behind it. The last batch always
stays as it is, so that the next offset is known. A file is rewritten only when half of it can be garbage, beside the
old one and then in its place: a crash or a full disk in the middle leaves the old one.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from shipjury_broker.logfile import FIRST_BATCH_AT, read_head, scan, sync_folder, write_fully, write_head
from shipjury_broker.records import Unreadable, read_records, rebuild
from shipjury_broker.topic_config import TopicConfig

log = logging.getLogger(__name__)


def tidy(path: Path, config: TopicConfig, now: int) -> None:
    """Applies retention, then compaction, to a file that is not open. `now` is in ms since 1970.

    A batch that can't be read (a codec that is not installed, a producer's garbage) leaves the file uncompacted, and a
    full disk leaves it as it was; either is a warning, because the log itself is sound.
    """
    if not path.exists() or path.stat().st_size <= FIRST_BATCH_AT:
        return
    try:
        if config.deleted and config.retention_ms >= 0:
            _expire(path, now - config.retention_ms)
        if config.compacted:
            _compact(path, now - config.delete_retention_ms)
    except (Unreadable, OSError) as error:
        path.with_suffix(".tidy").unlink(missing_ok=True)
        log.warning("%s stays as it is: %s", path, error)


def _expire(path: Path, before: int) -> None:
    """Moves the log's start behind the leading batches whose every record is older; frees them once they are half."""
    with path.open("r+b") as file:
        fd = file.fileno()
        head, size = read_head(fd, path), os.fstat(fd).st_size
        log_start, live_from = head.log_start, FIRST_BATCH_AT
        for at, batch, _ in scan(fd, FIRST_BATCH_AT, size):
            if batch.max_timestamp >= before:
                break
            log_start, live_from = max(log_start, batch.next_offset), at + batch.size
        dead = live_from - FIRST_BATCH_AT
        if dead * 2 >= size - FIRST_BATCH_AT:
            clean_end = max(head.clean_end - dead, FIRST_BATCH_AT)
            _replace(path, (data for _, _, data in scan(fd, live_from, size)), log_start, clean_end)
        elif log_start > head.log_start:
            write_head(fd, log_start, head.clean_end, head.file_id)
            os.fsync(fd)
    if log_start > head.log_start:
        log.info("%s starts at offset %d now: older records are past their time", path, log_start)


def _compact(path: Path, tombstones_before: int) -> None:
    """Keeps the last value of each key; a tombstone goes when it is older than `delete.retention.ms`."""
    with path.open("rb") as file:
        fd = file.fileno()
        head, size = read_head(fd, path), os.fstat(fd).st_size
        if (size - head.clean_end) * 2 < size - FIRST_BATCH_AT:
            return
        latest: dict[bytes, int] = {}
        last_batch = FIRST_BATCH_AT
        for at, _, data in scan(fd, FIRST_BATCH_AT, size):
            last_batch = at
            latest.update((record.key, record.offset) for record in read_records(data) if record.key is not None)

        def survivors() -> Iterator[bytes | memoryview]:
            for at, batch, data in scan(fd, FIRST_BATCH_AT, size):
                records = read_records(data)
                kept = [
                    record
                    for record in records
                    if record.key is None
                    or (
                        (latest[record.key] == record.offset)
                        and not (record.value is None and record.timestamp < tombstones_before)
                    )
                ]
                if at == last_batch or len(kept) == len(records):
                    yield data
                elif kept:
                    yield rebuild(batch, kept)

        freed = size - _replace(path, survivors(), head.log_start, clean_end=None)
    log.info("%s: compaction freed %d bytes", path, freed)


def _replace(path: Path, batches: Iterable[bytes | memoryview], log_start: int, clean_end: int | None) -> int:
    """Writes a new file in the old one's place and returns its size; `clean_end` None: all of it is clean."""
    draft = path.with_suffix(".tidy")
    with draft.open("w+b") as file:
        fd, end = file.fileno(), FIRST_BATCH_AT
        for data in batches:
            write_fully(fd, data, end)
            end += len(data)
        write_head(fd, log_start, end if clean_end is None else clean_end)
        os.fsync(fd)
    draft.replace(path)
    sync_folder(path.parent)
    return end
