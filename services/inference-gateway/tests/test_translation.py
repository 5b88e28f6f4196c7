"""The translated APIs, as pure functions: what is carried both ways, in one piece and as a stream."""

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_gateway.domain import anthropic_answer, anthropic_request, responses_answer, responses_request
from inference_gateway.domain.dialects import normalise
from inference_gateway.domain.errors import GatewayError
from inference_gateway.domain.responses_stream import Events as ResponseEvents
from inference_gateway.domain.translation import NOTHING, drop_of

USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
ECHO = responses_request.echo({"model": "m", "input": "x"})
_texts = st.lists(st.text(min_size=1, max_size=8), max_size=4)
_calls = st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3), max_size=3)


def whole(texts: list[str], calls: list[dict[str, Any]]) -> dict[str, Any]:
    """A chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    message["tool_calls"] = [
        {"id": f"call_{i}", "type": "function", "function": {"name": f"f{i}", "arguments": json.dumps(arguments)}}
        for i, arguments in enumerate(calls)
    ]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return {"id": "c", "model": "m", "created": 7, "choices": [choice], "usage": USAGE}


def chunks(texts: list[str], calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as a stream; arguments in pieces of three characters."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts)]
    for i, arguments in enumerate(calls):
        deltas.append({"tool_calls": [{"index": i, "id": f"call_{i}", "function": {"name": f"f{i}", "arguments": ""}}]})
        text = json.dumps(arguments)
        pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
        deltas += [{"tool_calls": [{"index": i, "function": {"arguments": piece}}]} for piece in pieces]
    made = [{"model": "m", "created": 7, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}
    return [
        *made,
        {"model": "m", "created": 7, "choices": [last]},
        {"model": "m", "created": 7, "choices": [], "usage": USAGE},
    ]


@settings(max_examples=40, deadline=None)
@given(_texts, _calls)
def test_a_message_that_streams_is_the_message_in_one_piece(texts: list[str], calls: list[dict[str, Any]]) -> None:
    events = anthropic_answer.Events("msg_1")
    told = [event for chunk in chunks(texts, calls) for event in events.chunk(chunk)] + list(events.done())
    snapshot, buffers = None, dict[int, bytes]()
    for event in told:
        sent: Any = json.loads(json.dumps(event))
        snapshot = accumulate_event(event=sent, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    expected = anthropic_answer.message(whole(texts, calls), "msg_1")
    streamed = snapshot.to_dict()
    assert streamed["content"] == expected["content"]
    assert streamed["stop_reason"] == expected["stop_reason"]
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        assert streamed["usage"][name] == expected["usage"][name]  # type: ignore[index]


@settings(max_examples=40, deadline=None)
@given(_texts, _calls)
def test_a_response_that_streams_is_the_response_in_one_piece(texts: list[str], calls: list[dict[str, Any]]) -> None:
    events = ResponseEvents(ECHO, "resp_1")
    # As text, as it is sent: an event is what its response was at that moment.
    told = [json.dumps(event) for chunk in chunks(texts, calls) for event in events.chunk(chunk)]
    told += [json.dumps(event) for event in events.done()]
    read = [json.loads(event) for event in told]
    assert [event["sequence_number"] for event in read] == list(range(len(read)))
    expected = responses_answer.response(whole(texts, calls), ECHO, "resp_1")
    assert read[-1] == {"type": "response.completed", "sequence_number": len(read) - 1, "response": expected}
    done = [event["item"] for event in read if event["type"] == "response.output_item.done"]
    assert done == expected["output"]


def test_usage_is_told_in_each_apis_words_and_what_is_not_known_is_null() -> None:
    assert anthropic_answer.usage(USAGE) == {
        "input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 0,
        "output_tokens": 12,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert anthropic_answer.usage(None) == {"input_tokens": None, "output_tokens": None}
    told = responses_answer.usage(USAGE)
    assert told is not None
    assert (told["total_tokens"], told["input_tokens_details"]["cached_tokens"]) == (42, 20)
    assert responses_answer.usage(None) is None


@pytest.mark.parametrize(
    ("finish", "stop_reason", "status"),
    [
        ("stop", "end_turn", "completed"),
        ("length", "max_tokens", "incomplete"),
        ("content_filter", "refusal", "incomplete"),
        ("tool_calls", "tool_use", "completed"),
    ],
)
def test_why_an_answer_ended_is_told_in_each_apis_words(finish: str, stop_reason: str, status: str) -> None:
    answer = whole(["x"], [])
    answer["choices"][0]["finish_reason"] = finish
    assert anthropic_answer.message(answer, "msg_1")["stop_reason"] == stop_reason
    assert responses_answer.response(answer, ECHO, "resp_1")["status"] == status


def test_a_refusal_stays_one() -> None:
    answer = whole([], [])
    answer["choices"][0]["message"]["refusal"] = "I will not"
    told = anthropic_answer.message(answer, "msg_1")
    assert (told["stop_reason"], told["stop_details"]["explanation"]) == ("refusal", "I will not")
    [item] = responses_answer.response(answer, ECHO, "resp_1")["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "I will not"}]


@pytest.mark.parametrize(
    "broken",
    [
        {"choices": []},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "error"}]},
        {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]},
        {
            "choices": [
                {"message": {"tool_calls": [{"id": "1", "function": {"arguments": "{}"}}]}, "finish_reason": "stop"}
            ]
        },
    ],
)
def test_an_answer_without_counterpart_is_an_error_and_no_clean_answer(broken: dict[str, Any]) -> None:
    for translate in (
        lambda: anthropic_answer.message(broken, "msg_1"),
        lambda: responses_answer.response(broken, ECHO, "resp_1"),
    ):
        with pytest.raises(GatewayError) as refused:
            translate()
        assert refused.value.code == "provider_malformed"


def test_a_whole_conversation_of_messages_is_carried() -> None:
    body = {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "weather"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I ask"},
                    {"type": "tool_use", "id": "t1", "name": "forecast", "input": {"city": "Ü"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [{"type": "text", "text": "no"}],
                        "is_error": True,
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                    {"type": "text", "text": "so?"},
                ],
            },
        ],
        "tools": [{"name": "forecast", "input_schema": {"type": "object"}, "strict": True}],
        "tool_choice": {"type": "tool", "name": "forecast", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"},
        "provider": "alpha",
    }
    function = {"name": "forecast", "parameters": {"type": "object"}, "strict": True}
    assert anthropic_request.to_chat(body, NOTHING) == {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]},
            {"role": "user", "content": "weather"},
            {
                "role": "assistant",
                "content": "I ask",
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "forecast", "arguments": '{"city": "Ü"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": '{"is_error": true, "content": "no"}'},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "text", "text": "so?"},
                ],
            },
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "forecast"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": True},
        },
        "user": "u",
        "provider": "alpha",
    }


def test_the_items_of_a_response_are_carried_as_messages() -> None:
    said = {"type": "output_text", "text": "I ask", "annotations": []}
    items = [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather"}]},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [said]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "forecast", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "forecast", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "sun"}]},
    ]
    chat = responses_request.to_chat({"model": "m", "input": items}, NOTHING)
    calls = [{"id": f"c{i}", "type": "function", "function": {"name": "forecast", "arguments": "{}"}} for i in (1, 2)]
    assert chat["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "weather"},
        {"role": "assistant", "content": "I ask", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": "sun"},
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_no_unknown_field_of_either_api_vanishes(name: str) -> None:
    for translate, body in (
        (anthropic_request.to_chat, {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}),
        (responses_request.to_chat, {"model": "m", "input": "x"}),
    ):
        if name in body:
            continue
        try:
            chat = translate(body | {name: object()}, NOTHING)
        except GatewayError as error:
            assert error.param == name  # noqa: PT017 - either is right: an error that names it, or the field itself
        else:
            assert name in ("provider", "metadata")
            assert name == "metadata" or name in chat


def test_what_may_be_lost_is_named_in_a_header() -> None:
    assert drop_of(b"cache_control, thinking ,") == {"cache_control", "thinking"}
    assert drop_of(None) == frozenset()


def test_hugging_faces_schema_is_read_as_the_schema_that_it_is() -> None:
    body: dict[str, Any] = {"response_format": {"type": "json_object", "value": {"type": "object"}}}
    assert normalise(body)
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert not normalise(body)
    assert not normalise({"response_format": {"type": "json_object"}})
    with pytest.raises(GatewayError, match="JSON schema"):
        normalise({"response_format": {"type": "regex", "value": "a+"}})
