"""The data folder: everything that a standalone Shipjury keeps, in one place, readable by its owner only."""

import fcntl
import json
import os
import secrets
import shutil
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import children

LEAST_FREE = 300 * 1024 * 1024
MARK = "shipjury-data"


class FolderUnusable(Exception):
    """The data folder can't be used; the message says why and what to do."""


class AlreadyRunning(Exception):
    """A Shipjury runs in this folder already."""


@dataclass(frozen=True)
class State:
    """What a running standalone says of itself: where it answers, who it is, and its services' environment."""

    pid: int
    readers: str
    operators: str
    kafka: str
    started_at: str
    environment: dict[str, str] = field(repr=False)
    children: dict[str, int] = field(default_factory=dict)


class DataFolder:
    """The folder at ``path``; made on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def make(self) -> None:
        """Make it, with a mark that says whose it is. Raises :class:`FolderUnusable`."""
        try:
            if self.path.is_dir() and any(self.path.iterdir()) and not self.ours:
                raise FolderUnusable(
                    f"{self.path} has other things in it: name an empty or a new folder with --data-dir."
                )
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.mark.touch(mode=0o600)
            self.logs.mkdir(exist_ok=True, mode=0o700)
        except PermissionError:
            raise FolderUnusable(f"{self.path} can't be written to: name another folder with --data-dir.") from None
        if self.free < LEAST_FREE:
            raise FolderUnusable(
                f"The disk of {self.path} is full ({self.free // 2**20} MiB left, {LEAST_FREE // 2**20} needed): "
                f"make room, or name a folder on another disk with --data-dir."
            )

    @property
    def free(self) -> int:
        """Bytes that are left on its disk."""
        return shutil.disk_usage(self.path).free

    @property
    def mark(self) -> Path:
        """The file that tells our folder from any other, so that ``reset`` never removes a stranger's."""
        return self.path / MARK

    @property
    def ours(self) -> bool:
        """Whether this is a data folder of ours."""
        return self.mark.exists()

    @property
    def logs(self) -> Path:
        """Where the logs are, one file a part."""
        return self.path / "logs"

    @property
    def mail(self) -> Path:
        """Where mails go, as ``.eml`` files."""
        return self.path / "mail"

    @property
    def traces(self) -> Path:
        """Where spans go, one JSON object a line."""
        return self.logs / "traces.jsonl"

    def lock(self) -> None:
        """Take the folder for this process; the kernel gives it back however we end. Raises AlreadyRunning."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            state = self.state()
            where = f" and answers at {state.readers}" if state else ""
            raise AlreadyRunning(f"Shipjury runs already{where}; ./shipjury down stops it.") from None
        self._lock = descriptor

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def state(self) -> State | None:
        """What the running standalone says, or None where none runs."""
        try:
            state = State(**json.loads((self.path / "state.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return state if children.alive(self.path / "shipjury.pid") is not None else None

    def tell(self, state: State) -> None:
        """Write the state, for ``status`` and for operators' commands."""
        children.remember(self.path / "shipjury.pid", state.pid)
        self.write_private("state.json", json.dumps(asdict(state), indent=1))

    def tell_stopped(self) -> None:
        """Take the state back."""
        for name in ("state.json", "shipjury.pid"):
            (self.path / name).unlink(missing_ok=True)

    def write_private(self, name: str, text: str) -> None:
        """Write a file that only its owner reads, whole or not at all."""
        new = self.path / f"{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path / name)

    def secret(self, name: str) -> str:
        """A secret that is made once and kept."""
        kept = self._secrets()
        if name not in kept:
            kept[name] = secrets.token_urlsafe(32)
            self.write_private("secrets.json", json.dumps(kept, indent=1))
        return kept[name]

    def note(self, name: str) -> str | None:
        """Something small to remember from start to start."""
        return self._notes().get(name)

    def remember(self, name: str, value: str) -> None:
        """Remember it."""
        self.write_private("notes.json", json.dumps({**self._notes(), name: value}, indent=1))

    def remove(self) -> None:
        """Remove everything, what Postgres keeps elsewhere included."""
        elsewhere = self.path / "postgres" / "elsewhere"
        if elsewhere.exists():
            shutil.rmtree(elsewhere.read_text().strip(), ignore_errors=True)
        shutil.rmtree(self.path)

    def _secrets(self) -> dict[str, str]:
        return self._read("secrets.json")

    def _notes(self) -> dict[str, str]:
        return self._read("notes.json")

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        return found


def stop(folder: DataFolder, seconds: float = 30) -> bool:
    """Ask the running standalone to end and wait for it. Returns whether there was one."""
    process = children.alive(folder.path / "shipjury.pid")
    if process is None:
        return False
    process.send_signal(signal.SIGTERM)
    if not children.ends(process, seconds):
        process.kill()  # its children notice and end themselves
        children.ends(process, 5)
    return True
