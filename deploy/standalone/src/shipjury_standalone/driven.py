"""A standalone in a process of its own, for tests that start, kill and start it again."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from .folder import DataFolder, State

_SHIPJURY = (sys.executable, "-m", "shipjury_standalone")


class DidNotStart(Exception):
    """``shipjury up`` ended, or did not answer in time; the message is what it said."""


class Driven:
    """``shipjury up`` on ``data``. Ports are free ones. Use :meth:`start`, then :attr:`state`; :meth:`stop` or kill."""

    def __init__(self, data: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.folder = DataFolder(data)
        self.options = ["--port", "0", "--operator-port", "0", "--kafka-port", "0", *options]
        self.environment = environment or {}
        self.output = data.with_name(f"{data.name}.output")
        self.runner: list[str] = []
        """What stands before the command: how to become somebody else, for example."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 300) -> "Driven":
        """Start it and wait until it says where it answers. Raises :class:`DidNotStart`."""
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [*self.runner, *_SHIPJURY, "up", "--data-dir", str(self.folder.path), *self.options],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "COLUMNS": "200", **self.environment},
            )
        deadline = time.monotonic() + seconds
        while True:
            state = self.folder.state()
            if state is not None and state.pid == self._process.pid:
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                status = self._process.returncode
                self.abandon()
                raise DidNotStart(f"status {status}:\n{self.said}")
            time.sleep(0.05)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process; it must have been started."""
        if self._process is None:
            raise DidNotStart("it was not started")
        return self._process

    @property
    def state(self) -> State:
        """Where it answers, its settings and its children."""
        state = self.folder.state()
        if state is None:
            raise DidNotStart(f"it does not run:\n{self.said}")
        return state

    @property
    def said(self) -> str:
        """What it wrote to the terminal so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def readers(self) -> httpx.Client:
        """A client of the readers' origin, with a cookie jar of its own."""
        return httpx.Client(base_url=self.state.readers, timeout=20, follow_redirects=False, trust_env=False)

    def operators(self) -> httpx.Client:
        """A client of the operators' origin, with the key."""
        key = self.folder.secret("operators' key")
        return httpx.Client(
            base_url=self.state.operators, timeout=20, headers={"authorization": f"Bearer {key}"}, trust_env=False
        )

    def command(self, *arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """A ``shipjury`` command about this standalone."""
        return subprocess.run(
            [*_SHIPJURY, "--data-dir", str(self.folder.path), *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "COLUMNS": "200", **self.environment},
        )

    def family(self) -> list[psutil.Process]:
        """Every process that it started, at any depth."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, by: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """Ask it to end and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.process.wait(seconds)

    def kill(self, seconds: float = 20) -> list[psutil.Process]:
        """kill -9, and wait until what it started has ended by itself. Returns what is still there after that."""
        family = self.family()
        self.process.kill()
        self.process.wait()
        _, left = psutil.wait_procs(family, timeout=seconds)
        return left

    def abandon(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self._process is None:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = self.family()
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(15)
            self._process.kill()
        for left in psutil.wait_procs(family, timeout=5)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
