"""The file of one partition, byte by byte: a 32-byte head, then batches as producers sent them, one after another.

Head: a mark, an id that changes with every rewrite, the log's start offset, and the position up to which the file was
compacted. Nothing here knows about offsets served or clients; it is what recovery, compaction and reading share.
"""

import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shipjury_broker.batches import HEADER_SIZE, Batch, is_sound, read_header
from shipjury_broker.errors import BrokerError

_HEAD = struct.Struct(">8s8sqq")
_MARK = b"SJLOG\x00\x00\x01"
FIRST_BATCH_AT = _HEAD.size
_SCAN_CHUNK = 4 << 20
_HEADERS_CHUNK = 8 << 10


class Head(NamedTuple):
    file_id: bytes
    log_start: int
    clean_end: int


def write_head(fd: int, log_start: int, clean_end: int = FIRST_BATCH_AT, file_id: bytes | None = None) -> None:
    """32 bytes in one sector: there or not there."""
    os.pwrite(fd, _HEAD.pack(_MARK, file_id or secrets.token_bytes(8), log_start, clean_end), 0)


def read_head(fd: int, path: Path) -> Head:
    """Raises BrokerError if this is no log of this broker."""
    mark, *head = _HEAD.unpack(os.pread(fd, FIRST_BATCH_AT, 0))
    if mark != _MARK:
        raise BrokerError(f"{path} is not a log of this broker, or of a later version of it")
    return Head(*head)


def headers(fd: int, at: int, end: int) -> Iterator[tuple[int, Batch]]:
    """Position and header of every batch in a part of a file that is known to be sound."""
    chunk, chunk_at = b"", at
    while at < end:
        if at + HEADER_SIZE > chunk_at + len(chunk):
            chunk, chunk_at = os.pread(fd, _HEADERS_CHUNK, at), at
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


def write_fully(fd: int, data: bytes | bytearray | memoryview, at: int) -> None:
    """Like pwrite, but all of it or OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


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
