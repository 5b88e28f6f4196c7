"""The translated APIs in front of every provider, with all their quirks: whole, streamed, and calling a tool."""

from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from .worldwide import NODE, routable, start_everywhere

SCHEMA = {"type": "object", "properties": {"days": {"type": "integer"}}}
TOOL: Any = {"name": "forecast", "input_schema": SCHEMA}
FUNCTION: Any = {"type": "function", "name": "forecast", "parameters": SCHEMA}


async def message(client: AsyncAnthropic, model: str, *, tools: bool) -> None:
    """A message, the same as a stream, and a tool's call as a stream."""
    asked: Any = {"model": model, "max_tokens": 6, "messages": [{"role": "user", "content": "words=6"}]}
    whole = await client.messages.create(**asked)
    async with client.messages.stream(**asked) as stream:
        streamed = await stream.get_final_message()
    for told in (whole, streamed):
        [block] = told.content
        assert block.type == "text"
        assert block.text.split() == ["the", "jury", "has", "read", "the", "evidence"], model
        assert (told.usage.output_tokens, told.stop_reason) == (6, "max_tokens"), model
    assert streamed.usage.input_tokens == whole.usage.input_tokens > 0, model
    if tools:
        async with client.messages.stream(**asked | {"max_tokens": 50}, tools=[TOOL]) as stream:
            [call] = (await stream.get_final_message()).content
        assert call.type == "tool_use", model
        assert call.input == {"days": 1}, model


async def response(client: AsyncOpenAI, model: str, *, tools: bool) -> None:
    """A response, the same as a stream, and a tool's call as a stream."""
    asked: Any = {"model": model, "max_output_tokens": 6, "input": "words=6"}
    whole = await client.responses.create(**asked)
    async with client.responses.stream(**asked) as stream:
        last = [event async for event in stream][-1]
    assert last.type == "response.incomplete", model
    for told in (whole, last.response):
        assert told.output_text.split() == ["the", "jury", "has", "read", "the", "evidence"], model
        assert told.usage is not None, model
        assert told.usage.output_tokens == 6, model
    if tools:
        async with client.responses.stream(**asked | {"max_output_tokens": 50}, tools=[FUNCTION]) as stream:
            [call] = (await stream.get_final_response()).output
        assert call.type == "function_call", model
        assert call.arguments == '{"days": 1}', model


async def test_messages_and_responses_go_through_every_provider_and_are_billed_as_it_bills(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path)
    anthropic = AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)
    openai = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    chats = {(one.provider, one.api): one for one in routable(gateway) if "chat" in one.features}
    assert len(chats) > 16
    # The node first: its heart beats once, when it is announced.
    for one in sorted(chats.values(), key=lambda one: one.provider != NODE):
        name = f"{one.name}:{one.provider}"
        tools = "tools" in one.features
        await message(anthropic, name, tools=tools)
        await response(openai, name, tools=tools)
    rows = {row["attempt_id"]: row["cost_nano_usd"] for row in await gateway.ledger()}
    lines = [line for line in await gateway.account() if line["provider"] != "alpha"]
    assert len(lines) >= 4 * 16
    assert {line["attempt_id"]: line["nano_usd"] for line in lines}.items() <= rows.items()
