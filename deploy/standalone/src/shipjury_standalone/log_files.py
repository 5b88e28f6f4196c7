"""Logs: one JSON object a line, one file a part, rotated; and ``shipjury logs``, which reads them for people."""

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LARGEST = 10 * 1024 * 1024
KEPT = 3


def rotating(path: Path) -> logging.handlers.RotatingFileHandler:
    """A handler that appends to a file and turns to a new one at 10 MiB, keeping three."""
    return logging.handlers.RotatingFileHandler(path, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8", delay=True)


def services_log_to(path: Path) -> None:
    """Send this process's log records to a file; before that, delivery's telemetry has given them their JSON form."""
    root = logging.getLogger()
    handler = rotating(path)
    for before in root.handlers[:1]:
        handler.setFormatter(before.formatter)
        handler.filters = list(before.filters)  # what keeps libraries from repeating themselves
    root.handlers[:] = [handler]
    logging.raiseExceptions = False  # a full disk is told once, by space.py, not with a traceback a record


async def keep_short(path: Path, stop: asyncio.Event, largest: int = 4 * LARGEST, every: float = 30) -> None:
    """Turn a file that several processes append to, until ``stop``: its content moves beside it, the file stays."""
    while not stop.is_set():
        await asyncio.to_thread(_cut, path, largest)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)


def _cut(path: Path, largest: int) -> None:
    if path.exists() and path.stat().st_size > largest:
        older = path.with_name(f"{path.name}.1")
        try:
            shutil.copyfile(path, older)
        except OSError:  # a full disk: the room counts more than old traces
            older.unlink(missing_ok=True)
        os.truncate(path, 0)


class ChildLog:
    """Takes a child's lines. What is JSON already stays as it is; any other line becomes ``event``."""

    def __init__(self, path: Path, service: str) -> None:
        self._service = service
        self._handler = rotating(path)

    def __call__(self, line: str) -> None:
        """Write one line."""
        if not line.startswith("{"):
            now = datetime.now(UTC).isoformat()
            line = json.dumps({"timestamp": now, "logger": self._service, "event": line})
        self._handler.emit(logging.LogRecord(self._service, logging.INFO, "", 0, line, (), None))


def read(folder: Path, service: str | None, lines: int) -> list[str]:
    """The last lines of one part's log, or of all logs together in the order of time."""
    entries = [
        (str(entry.get("timestamp", "")), path.stem, entry)
        for path in sorted(folder.glob(f"{service or '*'}.jsonl"))
        if path.stem != "traces"
        for entry in _entries(path, lines)
    ]
    return [told(part, entry) for _, part, entry in sorted(entries, key=lambda found: found[0])[-lines:]]


def follow(folder: Path, service: str | None, running: Callable[[], bool]) -> Iterator[str]:
    """Lines that come from now on, through rotations, while ``running()``."""
    places = {path: (path.stat().st_ino, path.stat().st_size) for path in folder.glob(f"{service or '*'}.jsonl")}
    return _new_lines(folder, service, running, places)


def _new_lines(
    folder: Path, service: str | None, running: Callable[[], bool], places: dict[Path, tuple[int, int]]
) -> Iterator[str]:
    while running():
        for path in sorted(folder.glob(f"{service or '*'}.jsonl")):
            if path.stem == "traces":
                continue
            inode, position = places.get(path, (0, 0))
            try:
                with path.open(encoding="utf-8", errors="replace") as file:
                    now = path.stat().st_ino
                    file.seek(position if now == inode else 0)
                    for line in file:
                        yield told(path.stem, _entry(line))
                    places[path] = (now, file.tell())
            except FileNotFoundError:
                continue
        time.sleep(0.2)


def told(part: str, entry: dict[str, Any]) -> str:
    """One record as a line for people: time, part, level, what happened, and its details."""
    rest = dict(entry)
    moment = str(rest.pop("timestamp", ""))[11:19]
    level = str(rest.pop("level", "info"))
    event = str(rest.pop("event", ""))
    logger = str(rest.pop("logger", part))
    for noise in ("trace_id", "span_id"):
        rest.pop(noise, None)
    details = " ".join(f"{name}={value}" for name, value in rest.items())
    return f"{moment} {part:9} {level:7} {logger}: {event} {details}".rstrip()


def _entries(path: Path, lines: int) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        return [_entry(line) for line in deque(file, maxlen=lines)]


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {"event": line.rstrip()}
    return entry if isinstance(entry, dict) else {"event": line.rstrip()}
