"""What a node does when it is pressed: a client that leaves, an engine that falls, memory that ends."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_runner.domain.models import Architecture
from edge_runner.engines import ServeSpec
from edge_runner.engines.supervisor import kills_for_memory

from . import shapes, tiny
from .test_supervisor import Until, supervised

pytestmark = pytest.mark.timeout(300)

# About 340 MiB of weights, all of which are read for each token.
SLOW = Architecture(
    layers=8,
    hidden=2048,
    heads=16,
    kv_heads=4,
    head_dim=128,
    ffn=10240,
    vocab=2048,
    max_context=2048,
    tied_embeddings=True,
)


async def test_a_client_that_leaves_costs_two_more_tokens_at_most(tmp_path: Path, until: Until) -> None:
    """Counted by the engine itself, of 200 that were asked for; a token takes it longer than any scheduler waits.

    Its one slot then serves the next request.
    """
    path = shapes.write(tmp_path / "slow.gguf", SLOW)
    async with supervised(ServeSpec("m", path, 256, 1, 1)) as supervisor:
        assert await asyncio.wait_for(supervisor.until_ready(), 200)
        client = supervisor.client
        assert client is not None
        before = await predicted(client)
        seen = 0
        body = {
            "model": "m",
            "prompt": "Tell a long story.",
            "max_tokens": 200,
            "stream": True,
            "logit_bias": {"2": -100},
        }
        async with client.stream("/v1/completions", body) as chunks:
            with contextlib.suppress(TimeoutError):
                while True:  # What came in one piece with the fifth, on a busy machine, has been read too.
                    async with asyncio.timeout(60 if seen < 5 else 0):
                        chunk = await anext(chunks)
                    seen += bool(chunk["choices"][0]["text"])

        async def free() -> bool:
            return "llamacpp:requests_processing 0" in await client.text("/metrics")

        assert seen >= 5
        await until(free, seconds=60)
        made = await predicted(client) - before
        sys.stdout.write(f"{made} tokens were made, {seen} were read\n")
        # One is in the making when the client leaves; when the engine hears of it, the next may have begun.
        assert made <= seen + 2, f"{made} tokens were made of which {seen} were read"
        short = await client.ask("/v1/completions", {"model": "m", "prompt": "One", "max_tokens": 1})
        assert short["usage"]["completion_tokens"] == 1


async def predicted(client: Any) -> int:
    """Tokens that the engine has made so far."""
    page = await client.text("/metrics")
    found = re.search(r"^llamacpp:tokens_predicted_total (\S+)$", page, re.MULTILINE)
    assert found is not None, page
    return int(float(found[1]))


async def test_an_engine_that_breaks_a_memory_rule_is_a_crash_and_is_back_under_the_same_runner(
    tmp_path: Path, until: Until
) -> None:
    path = shapes.write(tmp_path / "tiny.gguf", tiny.SHAPE)
    async with supervised(ServeSpec("m", path, 256, 1, 1)) as supervisor:
        assert await asyncio.wait_for(supervisor.until_ready(), 200)
        first = supervisor.status.pid
        assert first is not None
        os.kill(first, signal.SIGSEGV)
        await until(lambda: supervisor.status.restarts == 1, seconds=60)
        assert supervisor.status.failure is not None
        assert supervisor.status.failure.kind == "crash"
        assert supervisor.status.failure.text.startswith("SIGSEGV")
        await until(lambda: supervisor.status.state == "ready", seconds=200)
        assert supervisor.status.pid != first


def test_kills_for_memory_are_counted_by_control_group_and_else_by_machine(tmp_path: Path) -> None:
    group, machine = tmp_path / "memory.events", tmp_path / "vmstat"
    assert kills_for_memory((group, machine)) == 0
    machine.write_text("nr_free_pages 5\noom_kill 3\n")
    assert kills_for_memory((group, machine)) == 3
    group.write_text("low 0\noom 2\noom_kill 1\n")
    assert kills_for_memory((group, machine)) == 1
