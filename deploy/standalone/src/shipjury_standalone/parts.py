"""The embedded parts together: Postgres, Redis, broker, edge runner; watched, and started again when they end."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import children
from .embedded.postgres import Postgres
from .embedded.redis import Redis
from .folder import DataFolder
from .log_files import ChildLog
from .ports import answers

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


@dataclass
class Program:
    """A Python program of ours that runs as a child: the broker or the edge runner."""

    name: str
    arguments: list[str]
    port: int
    folder: DataFolder
    log_name: str
    environment: dict[str, str] = field(repr=False)
    must_answer: bool = True
    grace: float = 4.0
    child: children.Child | None = None

    def spawn(self) -> None:
        """Start it without waiting for it."""
        self.child = children.start(
            self.name,
            [sys.executable, "-m", *self.arguments],
            log=ChildLog(self.folder.logs / f"{self.log_name}.jsonl", self.log_name),
            pid_file=self.folder.path / f"{self.log_name}.pid",
            environment=self.environment,
            grace=self.grace,
        )

    def wait(self) -> None:
        """Wait until its port answers, where others need that to go on."""
        if self.child is not None and self.must_answer:
            self.child.wait_until(lambda: answers(self.port), seconds=60)


Part = Postgres | Redis | Program


class Parts:
    """All parts of one data folder. Spawn them from the main thread."""

    def __init__(self, folder: DataFolder, kafka_port: int) -> None:
        self._folder = folder
        self.postgres = Postgres(folder.path / "postgres", log=ChildLog(folder.logs / "postgres.jsonl", "postgres"))
        self.redis = Redis(folder.path / "redis", log=ChildLog(folder.logs / "redis.jsonl", "redis"))
        data = ["--data", str(folder.path / "kafka"), "--port", str(kafka_port)]
        self.broker = Program(
            "The broker", ["shipjury_broker", *data], kafka_port, folder, "broker", _plain_environment(folder)
        )
        self.edge: Program | None = None

    def add_edge(self, environment: dict[str, str]) -> None:
        """Put an edge runner beside the others; spawn it when the site answers, which does not wait for a model."""
        port = int(environment["EDGE_PUBLIC_PORT"])
        self.edge = Program(
            "The edge runner",
            ["edge_runner", "serve"],
            port,
            self._folder,
            "edge",
            environment,
            must_answer=False,
            grace=1.5,
        )

    @property
    def all(self) -> list[Part]:
        """In the order in which they start; they stop the other way round."""
        return [self.postgres, self.redis, self.broker, *([self.edge] if self.edge else [])]

    def pids(self) -> dict[str, int]:
        """Each running child's process id, by name."""
        return {part.child.name: part.child.process.pid for part in self.all if part.child and part.child.running}

    def stop_edge(self) -> None:
        """Ask the edge runner to end; it keeps nothing, and what it was asked is asked again after a start."""
        if self.edge and self.edge.child:
            self.edge.child.signal_stop()

    def stop(self) -> None:
        """Stop all at the same time: nobody uses them any more."""
        leaving = [part.child for part in reversed(self.all) if part.child is not None]
        for child in leaving:
            child.signal_stop()
        for child in leaving:
            child.stop()

    async def watch(self, parts: Sequence[Part], stop: asyncio.Event, tell: Callable[[str], None]) -> None:
        """Start again whatever of ``parts`` ends before ``stop``, with a pause that grows, and tell about it."""
        await asyncio.gather(*(self._keep(part, stop, tell) for part in parts))

    async def _keep(self, part: Part, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while part.child is not None:
            began = loop.time()
            status = await _ended(part.child)
            if stop.is_set():
                return
            if loop.time() - began > 60:
                pause = FIRST_PAUSE
            tell(
                f"{part.child.name} ended ({_reason(status)}); it starts again in {pause:g} s. {part.child.last_words}"
            )
            if await _set_within(stop, pause):
                return
            pause = min(pause * 2, LONGEST_PAUSE)
            try:
                part.spawn()
                await asyncio.to_thread(part.wait)
            except (children.ChildFailed, OSError) as problem:
                tell(str(problem))
            else:
                waited = not isinstance(part, Program) or part.must_answer
                tell(f"{part.child.name} {'is back' if waited else 'was started again'}")


def _plain_environment(folder: DataFolder) -> dict[str, str]:
    """Our environment without the keys that a part has no business with."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN", "_URL"))}
    return {**kept, "SHIPJURY_TRACES_FILE": str(folder.traces)}


async def _ended(child: children.Child) -> int:
    """Wait for a child's end without a thread where the kernel can tell us."""
    if not hasattr(os, "pidfd_open"):
        return await asyncio.to_thread(child.process.wait)
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    try:
        descriptor = os.pidfd_open(child.process.pid)
    except ProcessLookupError:
        return child.process.wait()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return child.process.wait()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _reason(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
