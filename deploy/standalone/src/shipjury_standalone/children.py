"""Child processes that never outlive us: Postgres, Redis, the broker and the edge runner are started and stopped here.

A child gets a process group of its own (Ctrl-C in a terminal reaches only us, and we stop things in order), asks the
kernel for a signal when we die, and leaves a pid file. The pid file is for machines without ``prctl``, where the next
start ends what an earlier one left behind.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1


class ChildFailed(Exception):
    """A child ended, or did not become ready. The message is a sentence for a person; the log's end is part of it."""


@dataclass
class Child:
    """A running child. ``stop_signal`` asks it to end in order; ``grace`` is how many seconds it has to do so."""

    name: str
    process: subprocess.Popen[bytes]
    said: deque[str]
    pid_file: Path | None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 5.0
    asked: float | None = None
    """When it was asked to end (monotonic seconds)."""

    @property
    def running(self) -> bool:
        """Whether the process still is there."""
        return self.process.poll() is None

    @property
    def last_words(self) -> str:
        """The end of what it said, for a message."""
        return "It said last:\n  " + "\n  ".join(self.said) if self.said else "It said nothing."

    def signal_stop(self) -> None:
        """Ask it to end; :meth:`stop` waits for that."""
        if self.running and self.asked is None:
            self.asked = time.monotonic()
            self.process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """End it in order, or by force ``grace`` seconds after it was asked, its whole process group included."""
        self.signal_stop()
        waited = time.monotonic() - self.asked if self.asked is not None else 0
        try:
            self.process.wait(max(0, self.grace - waited))
        except subprocess.TimeoutExpired:
            kill_group(self.process.pid)
            self.process.wait()
        if self.pid_file is not None:
            self.pid_file.unlink(missing_ok=True)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for ``ready()``. Raises :class:`ChildFailed` where the child ends or the time is up before that."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                time.sleep(0.1)  # its last words are on their way through the pipe
                raise ChildFailed(f"{self.name} ended with status {self.process.returncode}. {self.last_words}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.name} was not ready within {seconds:g} seconds. {self.last_words}")
            time.sleep(0.01)


def start(
    name: str,
    command: Sequence[str],
    *,
    log: Callable[[str], None],
    pid_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    working_folder: Path | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    death_signal: signal.Signals = signal.SIGTERM,
    grace: float = 5.0,
    user: int | None = None,
) -> Child:
    """Start a child; ``log`` gets its lines, from a thread.

    Call it from the main thread: the kernel ties the death signal to the thread that forks.
    """
    if pid_file is not None:
        end_left_over(pid_file)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd=working_folder,
        preexec_fn=_prepare(death_signal, os.getpid(), user),
    )
    if pid_file is not None:
        remember(pid_file, process.pid)
    said: deque[str] = deque(maxlen=6)
    threading.Thread(target=_listen, args=(process, said, log), name=f"log of {name}", daemon=True).start()
    return Child(name, process, said, pid_file, stop_signal, grace)


def into_file(path: Path) -> Callable[[str], None]:
    """A log that is a plain file."""

    def write(line: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return write


def _listen(process: "subprocess.Popen[bytes]", said: deque[str], log: Callable[[str], None]) -> None:
    """Read a child's lines until it closes its end."""
    for raw in process.stdout or ():
        line = raw.decode(errors="replace").rstrip()
        if line:
            said.append(line)
            log(line)


def remember(pid_file: Path, pid: int) -> None:
    """Write a process's id and its time of birth, which tells it from a later process with the same id."""
    try:
        born = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    pid_file.write_text(f"{pid} {born}\n")


def alive(pid_file: Path) -> psutil.Process | None:
    """The process that a pid file names, or None where it is gone."""
    try:
        pid, born = pid_file.read_text().split()
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(born)) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pass
    return None


def ends(process: psutil.Process, seconds: float) -> bool:
    """Wait for a process that is not our child; one that nobody has buried yet has ended too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def end_left_over(pid_file: Path) -> None:
    """End what an earlier run left behind; its parent is gone, so nobody else will."""
    process = alive(pid_file)
    if process is not None:
        process.send_signal(signal.SIGINT)
        if not ends(process, 5):
            kill_group(process.pid)
            ends(process, 5)
    pid_file.unlink(missing_ok=True)


def kill_group(group: int) -> None:
    """Kill a child and all that it started."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _prepare(death_signal: signal.Signals, parent: int, user: int | None) -> Callable[[], None]:
    """What the child does before it becomes the program; the order matters, since setuid clears the death signal."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        os.setpgid(0, 0)
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # we died between fork and prctl: nobody will send the signal
                os._exit(1)

    return prepare
