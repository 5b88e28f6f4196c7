"""A local file of every attempt's intent and result, for the day on which Redis is lost together with the process.

Appended without fsync before a provider is called and before an attempt is settled: a killed process loses nothing, a
dead machine at most what its kernel had not written yet. Each file is locked as long as its process lives; whoever
starts next in the same folder finds the files of the dead and hands them over (:mod:`.handing_over`).
"""

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import structlog

SEGMENT_BYTES = 16 * 1024 * 1024
SUFFIX = ".journal"
_ID_BYTES = 36
_log = structlog.get_logger("inference_gateway.journal")


class Journal:
    """The journal of one instance; without a folder it keeps nothing. Each call is one write to an open file."""

    def __init__(self, folder: Path | None, instance: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._instance = instance
        self._segment_bytes = segment_bytes
        self._file = -1
        self._size = 0
        self._number = 0
        self.written: dict[Path, int] = {}
        """Own files that are full, with their open descriptors, which hold the locks."""
        self.current: Path | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._next()

    def intent(self, facts: bytes) -> None:
        """An attempt is about to be made. ``facts`` is one line of JSON."""
        if self._file >= 0:
            self._append(b"I%b\n" % facts)

    def result(self, attempt_id: str, outcome: bytes) -> None:
        """An attempt has ended; without ``outcome`` it never began."""
        if self._file >= 0:
            self._append(b"R%b%b\n" % (attempt_id.encode(), outcome))

    def close(self) -> None:
        """Let go of the files: whoever starts next looks whether the ledger has everything in them."""
        for descriptor in (self._file, *self.written.values()):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = -1
        self.written.clear()

    def forget(self, path: Path) -> None:
        """Remove an own full file: the ledger has what stands in it."""
        path.unlink(missing_ok=True)
        os.close(self.written.pop(path))

    def _append(self, line: bytes) -> None:
        try:
            os.write(self._file, line)
        except OSError as error:
            # A full disk must not stop requests: Redis still has what is open, and this is said loudly.
            _log.error("the journal is not written any more", error=str(error))
            os.close(self._file)
            self._file = -1
            return
        self._size += len(line)
        if self._size >= self._segment_bytes:
            if self.current is not None:
                self.written[self.current] = self._file
            self._next()

    def _next(self) -> None:
        assert self.folder is not None  # noqa: S101 - only with a folder there are files
        self._number += 1
        self._size = 0
        self.current = self.folder / f"{self._instance}.{self._number}{SUFFIX}"
        self._file = os.open(self.current, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)


@dataclass(frozen=True, slots=True)
class Noted:
    """What a journal's file says: facts by attempt, and outcomes of those whose end was seen (empty: never began)."""

    facts: dict[str, bytes] = field(default_factory=dict)
    outcomes: dict[str, bytes] = field(default_factory=dict)


def read(path: Path) -> Noted:
    """Read a file; a torn last line is no line."""
    noted = Noted()
    whole, newline, _ = path.read_bytes().rpartition(b"\n")
    for line in whole.split(b"\n") if newline else ():
        if line.startswith(b"I"):
            try:
                noted.facts[str(orjson.loads(line[1:])["attempt"])] = line[1:]
            except orjson.JSONDecodeError:
                _log.error("a line of a journal is broken", path=str(path))  # A full disk cut it.
        elif line.startswith(b"R"):
            noted.outcomes[line[1 : 1 + _ID_BYTES].decode()] = line[1 + _ID_BYTES :]
    return noted


def instance_of(path: Path) -> str:
    """The instance that wrote a file."""
    return path.name.partition(".")[0]


def of_the_dead(folder: Path) -> list[tuple[Path, int]]:
    """Files whose process lives no more, each with a descriptor that holds its lock now; the caller closes it."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        found.append((path, descriptor))
    return found
