"""An engine's memory ends where it was counted to end: with the real engine, whatever is asked of it and how often."""

import asyncio
import random
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_runner.domain import fit
from edge_runner.domain.models import Architecture
from edge_runner.engines import ServeSpec

from . import shapes, tiny
from .conftest import RunningNode
from .test_supervisor import supervised

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
# 16 KiB a token of KV cache, and next to nothing to compute.
FAT = Architecture(
    layers=2,
    hidden=256,
    heads=16,
    kv_heads=16,
    head_dim=128,
    ffn=256,
    vocab=2048,
    max_context=4096,
    tied_embeddings=True,
)


async def test_answers_with_a_thousand_log_probabilities_a_token_take_memory_once(tmp_path: Path) -> None:
    """Each of the engine's threads would else keep a heap as large as the largest answer that it wrote."""
    path = shapes.write(tmp_path / "tiny.gguf", tiny.SHAPE)
    async with supervised(ServeSpec("m", path, 512, 2, 1, cache_ram_mib=0)) as supervisor:
        assert await asyncio.wait_for(supervisor.until_ready(), 200)
        begin, dice = resident(supervisor), random.Random(1)
        for _ in range(8):
            await asyncio.gather(*(ask(supervisor, dice, words=4, max_tokens=16, logprobs=1000) for _ in range(2)))
        room = fit.need(tiny.SHAPE, weights=None, context=512, slots=2).scores
        assert resident(supervisor) - begin < room + 10 * MIB


@pytest.mark.parametrize("cache", [4, 20])
async def test_evicted_prompts_take_at_most_the_host_cache_and_what_is_too_large_for_it_is_not_kept(
    cache: int, tmp_path: Path
) -> None:
    """Prompts of 300 and 600 tokens: 5 and 9 MiB each. One host cache holds none of them, the other two to four."""
    path = shapes.write(tmp_path / "fat.gguf", FAT)
    async with supervised(ServeSpec("m", path, 1024, 2, 1, cache_ram_mib=cache)) as supervisor:
        assert await asyncio.wait_for(supervisor.until_ready(), 200)
        dice = random.Random(1)
        for words in (600, 600):  # each slot once: what a step touches is warm
            await ask(supervisor, dice, words=words)
        begin, most = resident(supervisor), 0
        for number in range(8):
            await ask(supervisor, dice, words=300 * (1 + number % 2))
            most = max(most, resident(supervisor) - begin)
        if cache == 4:
            assert most < 3 * MIB
        else:
            assert 8 * MIB < most < (cache + 4) * MIB


def test_more_log_probabilities_than_there_is_room_for_are_refused_with_the_numbers(node: RunningNode) -> None:
    whole = node.post("/completions", prompt="x", max_tokens=17, logprobs=1000)
    assert whole.status_code == 400
    assert whole.json()["error"]["param"] == "logprobs"
    assert "17,000 for 17 tokens, and a whole answer may have 16,384: ask for at most 16 tokens" in whole.text
    chat = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 1000}
    assert node.post("/chat/completions", **chat).json()["error"]["param"] == "top_logprobs"
    assert node.post("/chat/completions", **chat, max_tokens=2).status_code == 200
    streamed = node.post("/completions", prompt="x", max_tokens=263, logprobs=1000, stream=True)
    assert streamed.status_code == 400
    assert "a stream may have 262,144: ask for at most 262 tokens" in streamed.text


async def ask(supervisor: Any, dice: random.Random, words: int, **more: Any) -> None:
    prompt = [dice.randrange(3, 2000) for _ in range(words)]
    await supervisor.client.ask("/v1/completions", {"model": "m", "prompt": prompt, "max_tokens": 1} | more)


def resident(supervisor: Any) -> int:
    return int(psutil.Process(supervisor.status.pid).memory_info().rss)
