"""Record batches as the log sees them: a 61-byte header in front of bytes that it never opens.

The layout is Kafka's message format 2 (https://kafka.apache.org/documentation/#recordbatch). A batch is checked once,
when it arrives, and then travels unchanged but for the two fields that its checksum leaves out: base offset and epoch.
"""

import struct
from typing import NamedTuple

import crc32c
from kio.schema.errors import ErrorCode

from shipjury_broker.errors import Refused

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LEAD = struct.Struct(">qi")
HEADER_SIZE = _HEADER.size
LEAD_SIZE = _LEAD.size
CHECKED_FROM = 21  # the checksum covers everything from the attributes on
_EPOCH_AT, CRC_AT, LAST_DELTA_AT = 12, 17, 23
_CODECS = range(5)
_TRANSACTIONAL, _CONTROL = 0x10, 0x20


class Batch(NamedTuple):
    """The header of one batch. `size` is that of the whole batch in bytes; timestamps are ms since 1970."""

    base_offset: int
    size: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequences count 0 ... 2**31 - 1 and start again."""
        return (self.base_sequence + self.last_delta) & 0x7FFFFFFF


def read_header(data: bytes | memoryview, at: int = 0) -> Batch:
    """The header at a position; `struct.error` if fewer than 61 bytes are left."""
    base, length, _epoch, magic, crc, attributes, delta, first, latest, pid, pepoch, sequence, count = (
        _HEADER.unpack_from(data, at)
    )
    return Batch(base, length + LEAD_SIZE, magic, crc, attributes, delta, first, latest, pid, pepoch, sequence, count)


def is_sound(batch: Batch, data: bytes | memoryview, at: int = 0) -> bool:
    """Whether the whole batch is there and its CRC32C holds."""
    if batch.magic != 2 or batch.size < HEADER_SIZE or at + batch.size > len(data):
        return False
    return bool(crc32c.crc32c(data[at + CHECKED_FROM : at + batch.size]) == batch.crc)


def accept(records: bytes | None, max_size: int) -> Batch:
    """Checks what a producer sent: exactly one sound batch, not too large, of a kind that this log keeps.

    Raises Refused with the Kafka error that names the reason.
    """
    if records is None or len(records) < HEADER_SIZE:
        raise Refused(ErrorCode.corrupt_message, "a batch is at least 61 bytes")
    if len(records) > max_size:
        raise Refused(ErrorCode.message_too_large, f"a batch is at most {max_size} bytes")
    batch = read_header(records)
    if batch.magic != 2:
        raise Refused(ErrorCode.unsupported_for_message_format, "only message format 2 is kept")
    if not is_sound(batch, records):
        raise Refused(ErrorCode.corrupt_message, "the batch's CRC32C does not hold")
    if batch.size != len(records) or batch.records != batch.last_delta + 1 or batch.records < 1:
        raise Refused(ErrorCode.invalid_record, "exactly one batch a partition, with one offset a record")
    if batch.attributes & _TRANSACTIONAL:
        raise Refused(ErrorCode.transactional_id_authorization_failed, "this broker has no transactions")
    if batch.attributes & _CONTROL:
        raise Refused(ErrorCode.invalid_record, "control batches are not for producers")
    if batch.attributes & 0x07 not in _CODECS:
        raise Refused(ErrorCode.unsupported_compression_type, "unknown compression codec")
    return batch


def place(records: bytes, base_offset: int) -> bytearray:
    """The batch with its place in the log written into it (leader epoch 0: there is one leader for ever)."""
    placed = bytearray(records)
    struct.pack_into(">q", placed, 0, base_offset)
    struct.pack_into(">i", placed, _EPOCH_AT, 0)
    return placed
