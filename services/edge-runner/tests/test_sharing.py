"""What requests share and what they keep from each other, counted and not timed: with the real engine."""

import asyncio
from pathlib import Path

import openai
import pytest

from . import tiny
from .conftest import MODEL, RunningNode, StartNode

pytestmark = pytest.mark.timeout(600)

DOSSIER = " ".join(f"fact{number * 7919 % 997}" for number in range(400))


def calling(node: RunningNode) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=node.base_url, api_key="-", max_retries=0, timeout=300)


async def test_five_who_read_the_same_dossier_at_once_pay_for_it_once(tmp_path: Path, start_node: StartNode) -> None:
    models = tiny.model_list(tmp_path / "models", tiny="")
    given = tiny.settings(tmp_path / "models", slots="5", model_list=str(models))
    node = await asyncio.to_thread(start_node, "tiny", **given)
    async with calling(node) as client:

        async def ask(number: int) -> tuple[int, int]:
            answer = await client.completions.create(
                model="tiny", prompt=f"{DOSSIER} Question {number}:", max_tokens=1, temperature=0
            )
            assert answer.usage is not None
            assert answer.usage.prompt_tokens_details is not None
            return answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens or 0

        seen = await asyncio.gather(*(ask(number) for number in range(5)))
    read = [tokens - cached for tokens, cached in seen]
    assert max(read) > 1500
    assert sum(read) < 1.3 * max(read)


async def test_a_short_prompt_is_answered_while_a_long_one_is_still_read(start_node: StartNode) -> None:
    """The long one came first, and takes three of the engine's steps: without care it would be read to its end."""
    node = await asyncio.to_thread(start_node, slots="3")
    answered: list[str] = []
    async with calling(node) as client:

        async def read(name: str, prompt: str) -> None:
            stream = await client.completions.create(
                model=MODEL, prompt=prompt, max_tokens=1, temperature=0, stream=True
            )
            async for chunk in stream:
                if chunk.choices and name not in answered:
                    answered.append(name)

        await asyncio.gather(read("long", DOSSIER[:3000]), read("short", "Hello, my name is"))
    assert answered == ["short", "long"]
