"""Structured output and tool calls with the real engine: a weak model, and still every call is a valid one."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from edge_runner.schemas import violation

from .conftest import MODEL, RunningNode
from .test_tools import TREE, WEATHER

pytestmark = pytest.mark.timeout(300)

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "city": {"enum": ["Paris", "Rome"]}},
    "required": ["name", "city"],
    "additionalProperties": False,
}
CHOOSE = {
    "type": "function",
    "function": {
        "name": "choose",
        "description": "Choose a colour.",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "green"]}},
            "required": ["colour"],
            "additionalProperties": False,
        },
    },
}
ASK: Any = [{"role": "user", "content": "Choose a colour for the wall."}]


@pytest.fixture
def client(node: RunningNode) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=node.base_url, api_key="a-token", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_follows_its_schema(client: openai.OpenAI, stream: bool) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    answer: Any = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Invent a person."}],
        response_format=form,
        max_tokens=80,
        seed=1,
        stream=stream,
    )
    if stream:
        chunks = [chunk.choices[0] for chunk in answer]
        text, finish = "".join(chunk.delta.content or "" for chunk in chunks), chunks[-1].finish_reason
    else:
        text, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert finish == "stop"
    assert violation(PERSON, json.loads(text)) is None


def test_an_answer_that_was_cut_off_is_not_called_finished(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    answer = client.chat.completions.create(model=MODEL, messages=ASK, response_format=form, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    calling = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=[CHOOSE], tool_choice="required", max_tokens=5
    )
    assert calling.choices[0].finish_reason == "length"
    assert calling.choices[0].message.tool_calls is None


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "choose"}}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_wanted_call_comes_and_is_valid(client: openai.OpenAI, choice: Any, stream: bool) -> None:
    answer: Any = client.chat.completions.create(
        model=MODEL,
        messages=ASK,
        tools=[CHOOSE],
        tool_choice=choice,
        parallel_tool_calls=False,
        max_tokens=120,
        stream=stream,
        seed=3,
    )
    if stream:
        chunks = [chunk.choices[0] for chunk in answer]
        calls = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
        finish = chunks[-1].finish_reason
        assert not any(chunk.delta.content for chunk in chunks)
    else:
        calls, finish = answer.choices[0].message.tool_calls, answer.choices[0].finish_reason
    assert finish == "tool_calls"
    (call,) = calls
    assert call.id.startswith("call_")
    assert call.function.name == "choose"
    assert json.loads(call.function.arguments)["colour"] in ("red", "green")


def test_with_auto_the_model_answers_or_calls_and_nothing_else(client: openai.OpenAI) -> None:
    for seed in range(3):
        answer = client.chat.completions.create(
            model=MODEL, messages=ASK, tools=[CHOOSE], max_tokens=60, seed=seed, temperature=1
        )
        choice = answer.choices[0]
        assert choice.finish_reason in ("stop", "length", "tool_calls")
        assert bool(choice.message.tool_calls) == (choice.finish_reason == "tool_calls")
        for call in choice.message.tool_calls or ():
            assert violation(CHOOSE["function"]["parameters"], json.loads(call.function.arguments)) is None
        assert '{"answer"' not in (choice.message.content or "")


def test_a_streamed_answer_beside_tools_is_the_text_alone(client: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": ASK, "tools": [CHOOSE], "max_tokens": 40, "temperature": 0}
    whole = client.chat.completions.create(**asked).choices[0]
    pieces = [chunk.choices[0] for chunk in client.chat.completions.create(**asked, stream=True)]
    text = "".join(piece.delta.content or "" for piece in pieces)
    assert text == (whole.message.content or "")
    assert pieces[-1].finish_reason == whole.finish_reason


def test_several_calls_may_come_at_once(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=[CHOOSE, WEATHER], tool_choice="required", max_tokens=300, seed=5
    )
    choice = answer.choices[0]
    assert choice.finish_reason in ("tool_calls", "length")
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in (CHOOSE, WEATHER)}
    for call in choice.message.tool_calls or ():
        assert violation(schemas[call.function.name], json.loads(call.function.arguments)) is None


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"tool_choice": "required"}, "invalid_tools", "tool_choice"),
        ({"tools": [{"type": "web_search"}]}, "invalid_tools", "tools.0"),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": 5}}}
                ]
            },
            "invalid_schema",
            "tools.0.function.parameters",
        ),
        ({"tools": [CHOOSE], "response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format"),
        ({"tools": [CHOOSE], "logprobs": True}, "unsupported_parameter", "logprobs"),
        ({"response_format": {"type": "json_schema"}}, "invalid_parameter", "response_format"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"$ref": "http://x/y"}},
                }
            },
            "invalid_schema",
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "yaml"}}, "unsupported_parameter", "response_format.type"),
    ],
)
def test_what_cannot_be_promised_is_refused(node: RunningNode, body: dict[str, Any], code: str, param: str) -> None:
    answer = node.post("/chat/completions", messages=ASK, max_tokens=5, **body)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param)


def test_a_recursive_schema_is_followed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=[TREE], tool_choice="required", max_tokens=200, seed=2
    )
    for call in answer.choices[0].message.tool_calls or ():
        assert violation(TREE["function"]["parameters"], json.loads(call.function.arguments)) is None
