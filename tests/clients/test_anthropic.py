"""Anthropic's own client for Python, on `/v1/messages`."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from pydantic import BaseModel

from .conftest import Address

TOOL: Any = {
    "name": "forecast",
    "description": "the weather of some days",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}
PIXEL: Any = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


class Verdict(BaseModel):
    """What an answer is parsed into."""

    tool: str
    score: int


@pytest.fixture
def client(gateway: Address) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.origin, api_key=gateway.key, max_retries=0) as made:
        yield made


def asked(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "sim-chat", "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | more


def test_it_gets_a_message_and_its_usage(client: Anthropic) -> None:
    answer = client.messages.create(**asked("cached hello there", system="be brief", metadata={"user_id": "u-1"}))
    [block] = answer.content
    assert block.type == "text"
    assert block.text.startswith("the jury")
    assert (answer.stop_reason, answer.role) == ("end_turn", "assistant")
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (4, 4, 16)
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")
    assert client.messages.create(**asked("hello", max_tokens=3)).stop_reason == "max_tokens"


def test_a_bearer_token_is_as_good_as_a_key(gateway: Address) -> None:
    with Anthropic(base_url=gateway.origin, auth_token=gateway.key, max_retries=0) as client:
        assert client.messages.create(**asked("hello")).stop_reason == "end_turn"


def test_it_lists_models(client: Anthropic) -> None:
    assert [model.id for model in client.models.list()] == ["sim-chat"]


def test_it_streams_events_in_their_order(client: Anthropic) -> None:
    events = list(client.messages.create(**asked("words=3"), stream=True))
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    with client.messages.stream(**asked("words=3")) as stream:
        assert "".join(stream.text_stream) == "the jury has "
        final = stream.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens) == (4, 3)
    assert final.stop_reason == "end_turn"


def test_it_calls_a_tool_and_takes_its_result(client: Anthropic) -> None:
    answer = client.messages.create(**asked("weather", tools=[TOOL], tool_choice={"type": "any"}))
    [call] = answer.content
    assert (call.type, answer.stop_reason) == ("tool_use", "tool_use")
    assert (call.name, call.input) == ("forecast", {"city": "jury", "days": 1})
    for failed in (False, True):
        told: Any = [
            {"role": "user", "content": "weather"},
            {"role": "assistant", "content": answer.content},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call.id, "content": "rain", "is_error": failed},
                    {"type": "text", "text": "go on"},
                ],
            },
        ]
        # The simulator calls its tool unless the tool has spoken last: what follows the result is the user's.
        last = client.messages.create(model="sim-chat", max_tokens=50, messages=told, tools=[TOOL])
        assert last.stop_reason == "tool_use"
        del told[-1]["content"][1]
        last = client.messages.create(model="sim-chat", max_tokens=50, messages=told, tools=[TOOL])
        assert last.stop_reason == "end_turn"
    with client.messages.stream(**asked("weather", tools=[TOOL])) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        [streamed] = stream.get_final_message().content
    assert len(pieces) > 1
    assert streamed.type == "tool_use"
    assert streamed.input == {"city": "jury", "days": 1}


def test_it_parses_structured_output_and_sees_images(client: Anthropic) -> None:
    parsed = client.messages.parse(**asked("judge"), output_format=Verdict)
    assert parsed.parsed_output == Verdict(tool="jury", score=1)
    seen = [{"type": "image", "source": PIXEL}, {"type": "text", "text": "what is this"}]
    assert client.messages.create(**asked(seen)).stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="beta: no_images"):
        client.messages.create(**asked(seen, model="sim-chat:beta"))


def test_it_raises_its_own_errors(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(**asked("hi", model="claude-9"))
    assert unknown.value.body["type"] == "error"  # type: ignore[index, call-overload]
    assert unknown.value.body["error"]["type"] == "not_found_error"  # type: ignore[index, call-overload]
    assert unknown.value.type == "not_found_error"
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="sk-sj-wrong").messages.create(**asked("hi"))
    with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format.*beta: no_json_schema"):
        client.messages.parse(**asked("judge", model="sim-chat:beta"), output_format=Verdict)
    with pytest.raises(anthropic.NotFoundError) as uncounted:
        client.messages.count_tokens(model="sim-chat", messages=asked("hi")["messages"])
    assert uncounted.value.type == "not_found_error"


@pytest.mark.parametrize("fault", ["cut", "error-event", "no-finish", "malformed"])
def test_a_stream_that_breaks_is_raised_and_has_no_end(client: Anthropic, fault: str) -> None:
    types: list[str] = []
    stream = client.messages.create(**asked(f"fault={fault}", model="sim-chat:alpha"), stream=True)
    with pytest.raises(anthropic.APIStatusError) as broken:
        types.extend(event.type for event in stream)
    assert "content_block_delta" in types
    assert "message_stop" not in types
    assert broken.value.body["error"]["code"] == "stream_cut"  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"extra_body": {"top_k": 40}}, "top_k"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"stop_sequences": ["END"]}, "stop_sequences"),
        ({"tools": [{"type": "web_search_20260209", "name": "web_search"}]}, "tools[0].type"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
            "system[0].cache_control",
        ),
        (
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{"}]},
            "messages[1].role",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
            "messages[0].content[0].source.type",
        ),
        ({"extra_headers": {"anthropic-beta": "context-1m-2025-08-07"}}, "anthropic-beta"),
    ],
)
def test_what_a_message_cannot_carry_is_refused_by_name(client: Anthropic, more: dict[str, Any], param: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(**asked("hi") | more)
    error = refused.value.body["error"]  # type: ignore[index, call-overload]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "untranslatable_field", param)


def test_what_a_client_says_may_be_lost_is(client: Anthropic) -> None:
    answer = client.messages.create(
        **asked(
            [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
            stop_sequences=["END"],
            thinking={"type": "enabled", "budget_tokens": 1024},
        ),
        extra_headers={"X-Shipjury-Drop": "cache_control, stop_sequence, thinking"},
    )
    assert answer.stop_reason == "end_turn"
