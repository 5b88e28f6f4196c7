"""Measures one model on this node: time to first token, prefill and decode speed, memory, energy where the host tells.

The engine runs alone, with the flags that ``serve`` would give it; each round has a prompt of its own, so that no
prefix is reused. Speeds are the engine's own counts over wall time; medians over the rounds.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shipjury_schemas import EdgeBenchmarked

from .engines.client import EngineClient
from .node import Holding

_PROMPT_WORDS = 300
_DECODE_TOKENS = 64
_ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


class BenchFailed(Exception):
    """The engine did not become ready; the text says why."""


@dataclass(frozen=True)
class Round:
    """One request: seconds to its first token, tokens of its prompt, seconds and tokens of its decoding."""

    first_token: float
    prompt_tokens: int
    decode_seconds: float
    decoded: int


async def bench(holding: Holding, node_id: str, rounds: int) -> EdgeBenchmarked:
    """Start the engine, measure, end it. Raises :class:`BenchFailed`."""
    stop = asyncio.Event()
    running = asyncio.create_task(holding.supervisor.run(stop))
    try:
        if not await holding.supervisor.until_ready() or holding.supervisor.client is None:
            failure = holding.supervisor.status.failure
            raise BenchFailed(failure.text if failure else "the engine did not become ready")
        client = holding.supervisor.client
        await _round(client, holding.spec.model, -1)
        before = _joules()
        measured = [await _round(client, holding.spec.model, number) for number in range(rounds)]
        after, decoded = _joules(), sum(one.decoded for one in measured)
        return EdgeBenchmarked(
            aggregate_version=max(1, time.time_ns() // 1_000_000),
            benchmark_id=f"{node_id}:{holding.model.id}",
            node_id=node_id,
            model=holding.model.id,
            engine=holding.engine.build(),
            time_to_first_token_ms=1000 * statistics.median(one.first_token for one in measured),
            prefill_tokens_per_second=statistics.median(one.prompt_tokens / one.first_token for one in measured),
            decode_tokens_per_second=statistics.median(one.decoded / one.decode_seconds for one in measured),
            resident_bytes=holding.resident_bytes(),
            joules_per_token=None if before is None or after is None else (after - before) / decoded,
            measured_at=datetime.now(UTC),
        )
    finally:
        stop.set()
        await running


async def _round(client: EngineClient, model: str, number: int) -> Round:
    prompt = f"{number} " + " ".join(f"word{(number * 7919 + place) % 9973}" for place in range(_PROMPT_WORDS // 3))
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": _DECODE_TOKENS + 1,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": False,
    }
    started = time.monotonic()
    first = last = 0.0
    usage: dict[str, int] = {}
    async with client.stream("/v1/completions", body) as chunks:
        async for chunk in chunks:
            usage = chunk.get("usage") or usage
            if any(choice.get("text") for choice in chunk.get("choices", ())):
                last = time.monotonic()
                first = first or last
    if not first or last == first:
        raise BenchFailed("the model ended after one token; nothing can be measured")
    return Round(first - started, usage["prompt_tokens"], last - first, usage["completion_tokens"] - 1)


def _joules() -> float | None:
    """The processor package's energy counter, where the host lets it be read."""
    try:
        return int(_ENERGY.read_text()) / 1e6
    except (OSError, ValueError):
        return None
