"""Keeps one engine running: starts it, waits for a real generation, watches it, starts it again when it falls.

The runner stays up whatever the engine does. An engine that falls again and again is started less and less often.
"""

import asyncio
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from .adapter import Engine, EngineFailure, ServeSpec
from .client import EngineClient, EngineRefused, EngineStopped

State = Literal["loading", "ready", "failed", "unloaded"]

_PROBE = "The capital of France is"
_PROBE_TOKENS = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 30.0
_STEADY_SECONDS = 60.0
_SILENT_CHECKS = 6
_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
log = structlog.get_logger("edge_runner")


@dataclass
class EngineStatus:
    """What is known of an engine now."""

    state: State = "loading"
    failure: EngineFailure | None = None
    tokens_per_second: float | None = None
    start_seconds: float | None = None
    restarts: int = 0
    pid: int | None = None


class Supervisor:
    """One engine process and its life. ``on_change`` is called whenever ``status.state`` changes."""

    def __init__(
        self,
        engine: Engine,
        spec: ServeSpec,
        *,
        ready_seconds: float = 300.0,
        health_seconds: float = 5.0,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine, self.spec = engine, spec
        self.status = EngineStatus()
        self.client: EngineClient | None = None
        self._ready_seconds, self._health_seconds = ready_seconds, health_seconds
        self._on_change = on_change
        self._lines: deque[str] = deque(maxlen=200)  # vLLM says why it fell, and then a hundred lines of tracebacks
        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the engine up until ``stop`` is set; then end it and return when it is gone."""
        wait = _FIRST_WAIT
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                ready_at = await self._one_life(stopping)
                if stop.is_set():
                    break
                lived = time.monotonic() - ready_at if ready_at is not None else 0.0
                wait = _FIRST_WAIT if lived > _STEADY_SECONDS else min(wait * 2, _LONGEST_WAIT)
                self.status.restarts += 1
                log.warning("engine_restart", model=self.spec.model, in_seconds=wait, restarts=self.status.restarts)
                await asyncio.wait({stopping}, timeout=wait)
        finally:
            stopping.cancel()
            self._enter("unloaded")

    def rest(self) -> None:
        """Nothing runs, and nothing is expected to: the model is put aside."""
        self._enter("unloaded")

    def begin(self) -> None:
        """:meth:`run` is about to be called: whoever waits for a state waits for what comes of it."""
        self.status.failure = None
        self._enter("loading")

    async def until_ready(self) -> bool:
        """Wait for the first state that is not ``loading``; whether it is ``ready``."""
        await self.until_settled()
        return self.status.state == "ready"

    async def until_settled(self) -> None:
        """Wait for the first state that is not ``loading``."""
        while self.status.state == "loading":
            self._changed.clear()
            await self._changed.wait()

    async def _one_life(self, stopping: "asyncio.Task[bool]") -> float | None:
        """Start an engine and wait for its end. Returns when it became ready (monotonic), or ``None``."""
        if self.status.state != "loading":
            self._enter("loading")
        port, key = _free_port(), secrets.token_urlsafe(24)
        command = self.engine.command(self.spec, port, key)
        kills = kills_for_memory()
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            env=os.environ | dict(command.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C on the terminal must not reach it before the runner has drained
        )
        self._lines.clear()
        self.status.pid = process.pid
        client = EngineClient(port, key)
        reading = asyncio.create_task(self._read_log(process))
        ended = asyncio.create_task(process.wait())
        ready_at: float | None = None
        try:
            getting_ready = asyncio.create_task(self._become_ready(client))
            await asyncio.wait(
                {getting_ready, ended, stopping},
                timeout=self._ready_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if getting_ready.done() and not ended.done() and getting_ready.exception() is None:
                ready_at = time.monotonic()
                self.status.start_seconds = ready_at - started
                self.client = client
                self.status.failure = None
                self._enter("ready")
                watching = asyncio.create_task(self._watch(client))
                await asyncio.wait({ended, stopping, watching}, return_when=asyncio.FIRST_COMPLETED)
                watching.cancel()
            else:
                getting_ready.cancel()
        finally:
            self.client = None
            if not ended.done():
                killed_by_us = True
                await _end(process, ended)
            else:
                killed_by_us = False
            await asyncio.gather(reading, return_exceptions=True)
            await client.close()
            self.status.pid = None
        if not stopping.done():
            self.status.failure = (
                EngineFailure("not_ready", f"no generation within {self._ready_seconds:.0f} s")
                if killed_by_us and ready_at is None
                else EngineFailure("crash", "the engine did not answer and was ended")
                if killed_by_us
                else self.engine.why_it_ended(ended.result(), list(self._lines), kills_for_memory() > kills)
            )
            log.error("engine_ended", model=self.spec.model, **vars(self.status.failure))
            self._enter("failed")
        return ready_at

    async def _become_ready(self, client: EngineClient) -> None:
        """Return after a real generation has come back; its speed is noted."""
        while not await client.healthy():  # noqa: ASYNC110  # another process: there is no event to wait for
            await asyncio.sleep(0.05)
        while True:
            try:
                started = time.monotonic()
                answer = await client.ask(
                    "/v1/completions",
                    {"model": self.spec.model, "prompt": _PROBE, "max_tokens": _PROBE_TOKENS, "temperature": 0},
                )
            except (EngineStopped, EngineRefused) as error:
                log.info("engine_not_ready_yet", model=self.spec.model, error=str(error))
                await asyncio.sleep(0.2)
                continue
            generated = answer["usage"]["completion_tokens"]
            if generated > 0:
                self.status.tokens_per_second = generated / (time.monotonic() - started)
                return

    async def _watch(self, client: EngineClient) -> None:
        """Return when the engine has been silent for six checks in a row: it lives but does not answer."""
        silent = 0
        while silent < _SILENT_CHECKS:
            await asyncio.sleep(self._health_seconds)
            silent = 0 if await client.healthy(self._health_seconds) else silent + 1

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101  # it was opened as a pipe above
        async for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            log.debug("engine", model=self.spec.model, line=line)

    def _enter(self, state: State) -> None:
        self.status.state = state
        self._changed.set()
        self._on_change()


async def _end(process: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
    process.terminate()
    await asyncio.wait({ended}, timeout=5)
    if not ended.done():
        process.kill()
        await ended


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def kills_for_memory(counters: Sequence[Path] = _COUNTERS) -> int:
    """How often the kernel has killed for memory: in this control group, else on this machine."""
    for path in counters:
        try:
            told = dict(line.split()[:2] for line in path.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if "oom_kill" in told:
            return int(told["oom_kill"])
    return 0
