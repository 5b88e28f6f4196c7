"""Where in the file an offset or a time lies: one entry every 4 KiB, kept in memory, saved at a clean stop.

The saved index says up to which position it holds; whatever lies behind is scanned at the next start. It carries the
id of the file that it belongs to and a checksum: if either is wrong, the whole file is scanned instead.
"""

import json
from array import array
from bisect import bisect_right
from pathlib import Path

import crc32c

from shipjury_broker.batches import Batch
from shipjury_broker.logfile import write_durably
from shipjury_broker.producers import Producers

EVERY = 4096


class Index:
    """Offsets, positions and the latest time (ms) of the batches between one entry and the next."""

    def __init__(self) -> None:
        self._offsets, self._positions, self._times = array("q"), array("q"), array("q")

    def add(self, batch: Batch, at: int) -> None:
        if not self._positions or at - self._positions[-1] >= EVERY:
            self._offsets.append(batch.base_offset)
            self._positions.append(at)
            self._times.append(batch.max_timestamp)
        elif batch.max_timestamp > self._times[-1]:
            self._times[-1] = batch.max_timestamp

    def before(self, offset: int) -> int | None:
        """A position from which walking forward meets the offset; None for an empty log."""
        return self._positions[max(bisect_right(self._offsets, offset) - 1, 0)] if self._positions else None

    def before_time(self, timestamp: int) -> int | None:
        """A position from which walking forward meets the first record at or after a time; None if there is none."""
        return next((self._positions[i] for i, latest in enumerate(self._times) if latest >= timestamp), None)

    def latest_time(self) -> int | None:
        return max(self._times, default=None)

    def save(self, path: Path, file_id: bytes, end: int, next_offset: int, producers: Producers) -> None:
        about = {
            "file": file_id.hex(),
            "end": end,
            "next_offset": next_offset,
            "entries": len(self._offsets),
            "producers": producers.dump(),
        }
        content = json.dumps(about).encode() + b"\n"
        content += self._offsets.tobytes() + self._positions.tobytes() + self._times.tobytes()
        write_durably(path, crc32c.crc32c(content).to_bytes(4, "big") + content)

    @classmethod
    def load(cls, path: Path, file_id: bytes) -> "tuple[Index, int, int, Producers] | None":
        """The index, up to where it holds (position and offset), and the producers; None if it is not for this file."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if len(content) < 4 or crc32c.crc32c(content[4:]) != int.from_bytes(content[:4], "big"):
            return None
        line, _, entries = content[4:].partition(b"\n")
        about = json.loads(line)
        if about["file"] != file_id.hex():
            return None
        index, size = cls(), about["entries"] * 8
        for number, column in enumerate((index._offsets, index._positions, index._times)):
            column.frombytes(entries[number * size : (number + 1) * size])
        return index, about["end"], about["next_offset"], Producers.restore(about["producers"])
