"""The records inside a batch, for the two who must look: compaction and offsets by time.

aiokafka reads and writes them (kio's record reader does not decompress): gzip by itself, and snappy, lz4 and zstd with
cramjam. It is imported when it is needed: most starts need it not, and it takes half of their time.
"""

import struct
from collections.abc import Sequence
from typing import Protocol

import crc32c

from shipjury_broker.batches import CHECKED_FROM, CRC_AT, LAST_DELTA_AT, Batch

_NO_LIMIT = 1 << 30


class Record(Protocol):
    """What of aiokafka's record is used here; `timestamp` in ms since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Unreadable(Exception):
    """The batch is sound as bytes but can't be opened: its codec is not installed, or the producer wrote garbage."""


def read_records(data: bytes | memoryview) -> list[Record]:
    """All records of one batch. Raises Unreadable."""
    from aiokafka.record.default_records import DefaultRecordBatch

    try:
        return list(DefaultRecordBatch(data))
    except Exception as error:  # decompressors raise what they like
        raise Unreadable(str(error) or type(error).__name__) from error


def rebuild(batch: Batch, kept: list[Record]) -> bytes:
    """The batch with fewer records: same codec, offsets, producer and sequence, as Kafka's own cleaner leaves them."""
    from aiokafka.record.default_records import DefaultRecordBatchBuilder

    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=batch.attributes & 0x07,
        is_transactional=0,
        producer_id=batch.producer_id,
        producer_epoch=batch.producer_epoch,
        base_sequence=batch.base_sequence,
        batch_size=_NO_LIMIT,
    )
    for record in kept:
        delta = record.offset - batch.base_offset
        builder.append(delta, record.timestamp, record.key, record.value, list(record.headers))
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, batch.base_offset)
    struct.pack_into(">i", data, LAST_DELTA_AT, batch.last_delta)
    struct.pack_into(">I", data, CRC_AT, crc32c.crc32c(data[CHECKED_FROM:]))
    return bytes(data)
