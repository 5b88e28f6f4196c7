"""OpenAI's own client for Python: chat completions, embeddings, models, and the Responses API."""

import base64
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIError, AuthenticationError, BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel

from .conftest import Address

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "forecast", "parameters": WEATHER}}
TOOL: Any = {"type": "function", "name": "forecast", "parameters": WEATHER, "strict": True}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Verdict(BaseModel):
    """What an answer is parsed into."""

    tool: str
    score: int


@pytest.fixture
def client(gateway: Address) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.v1, api_key=gateway.key, max_retries=0) as made:
        yield made


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_it_chats_and_streams_with_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-chat", messages=said("hello"))
    assert (answer.choices[0].message.content or "").startswith("the jury")
    stream = client.chat.completions.create(
        model="sim-chat", messages=said("words=4"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "the jury has read "
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4


def test_it_calls_a_tool_and_takes_its_result(client: OpenAI) -> None:
    messages = said("what is the weather")
    answer = client.chat.completions.create(model="sim-chat", messages=messages, tools=[CHAT_TOOL])
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("forecast", '{"city": "jury", "days": 1}')
    messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    last = client.chat.completions.create(model="sim-chat", messages=messages, tools=[CHAT_TOOL])
    assert (last.choices[0].message.content or "").startswith("the jury")
    with client.chat.completions.stream(model="sim-chat", messages=said("weather"), tools=[CHAT_TOOL]) as stream:
        [streamed] = stream.get_final_completion().choices[0].message.tool_calls or []
    assert streamed.function.arguments == '{"city": "jury", "days": 1}'


def test_it_parses_structured_output(client: OpenAI) -> None:
    answer = client.chat.completions.parse(model="sim-chat", messages=said("judge"), response_format=Verdict)
    assert answer.choices[0].message.parsed == Verdict(tool="jury", score=1)


def test_it_embeds_one_and_many_as_floats_and_as_base64(client: OpenAI) -> None:
    one = client.embeddings.create(model="sim-chat", input="hello there", encoding_format="float")
    assert one.data[0].embedding == [0.1, 0.2]
    many = client.embeddings.create(model="sim-chat", input=["hello", "there"], dimensions=4)
    assert [len(item.embedding) for item in many.data] == [4, 4]
    raw = client.embeddings.with_raw_response.create(model="sim-chat", input="hello", encoding_format="base64")
    packed = raw.http_response.json()["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == pytest.approx((0.1, 0.2))
    assert many.usage.prompt_tokens > 0


def test_it_raises_its_own_errors(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-9", messages=said("hi"))
    assert unknown.value.code == "model_not_found"
    with pytest.raises(BadRequestError) as rejected:
        client.chat.completions.create(model="sim-chat:beta", messages=said("hi"), n=2)
    assert (rejected.value.code, rejected.value.param) == ("parameter_unsupported", "n")
    with pytest.raises(AuthenticationError):
        client.with_options(api_key="sk-sj-wrong").models.list()
    with pytest.raises(APIError, match="broke"):
        list(client.chat.completions.create(model="sim-chat:alpha", messages=said("fault=cut"), stream=True))


def test_a_response_is_created_and_streamed(client: OpenAI) -> None:
    answer = client.responses.create(
        model="sim-chat", instructions="be brief", input="hello", max_output_tokens=5, metadata={"case": "7"}
    )
    assert (answer.status, answer.output_text) == ("incomplete", "the jury has read the")
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.metadata == {"case": "7"}
    with client.responses.stream(model="sim-chat", input="words=4") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events if event.type != "response.output_text.delta"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert final.output_text == "the jury has read "
    assert final.usage is not None
    assert (final.usage.input_tokens, final.usage.output_tokens, final.usage.total_tokens) == (4, 4, 8)


def test_a_response_calls_a_tool_and_takes_its_result(client: OpenAI) -> None:
    given: Any = [{"role": "user", "content": "what is the weather"}]
    answer = client.responses.create(model="sim-chat", input=given, tools=[TOOL])
    [call] = answer.output
    assert call.type == "function_call"
    assert call.arguments == '{"city": "jury", "days": 1}'
    given += [*answer.output, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    assert client.responses.create(model="sim-chat", input=given, tools=[TOOL]).output_text.startswith("the jury")
    with client.responses.stream(model="sim-chat", input="weather", tools=[TOOL]) as stream:
        types = {event.type for event in stream}
        [streamed] = stream.get_final_response().output
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= types
    assert streamed.type == "function_call"
    assert streamed.arguments == call.arguments


def test_a_response_is_parsed_and_sees_images(client: OpenAI) -> None:
    parsed = client.responses.parse(model="sim-chat", input="judge", text_format=Verdict)
    assert parsed.output_parsed == Verdict(tool="jury", score=1)
    picture: Any = [
        {"type": "input_text", "text": "what is this"},
        {"type": "input_image", "image_url": PIXEL, "detail": "low"},
    ]
    shown: Any = [{"role": "user", "content": picture}]
    assert client.responses.create(model="sim-chat", input=shown).output_text.startswith("the jury")
    with pytest.raises(BadRequestError, match="beta: no_images") as blind:
        client.responses.create(model="sim-chat:beta", input=shown)
    assert (blind.value.code, blind.value.param) == ("parameter_unsupported", "input")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"extra_body": {"colour": "red"}}, "colour"),
    ],
)
def test_what_a_response_cannot_carry_is_refused_by_name(client: OpenAI, more: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(**{"model": "sim-chat", "input": "hi"} | more)
    assert (refused.value.code, refused.value.param) == ("untranslatable_field", param)


def test_a_response_that_breaks_is_raised(client: OpenAI) -> None:
    types: list[str] = []
    stream = client.responses.create(model="sim-chat:alpha", input="fault=cut", stream=True)
    with pytest.raises(APIError, match="broke"):
        types.extend(event.type for event in stream)
    assert types[-1] == "response.failed"
    with pytest.raises(NotFoundError):
        client.responses.retrieve("resp_1")
