"""Tool calls and structured output as pure functions: schema, reading, what is shown of an unfinished answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runner.domain.tools import Call, ToolsRefused, answer_so_far, offer, read, told
from edge_runner.schemas import BadSchema, check_schema, violation

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TREE = {
    "type": "function",
    "function": {
        "name": "plant",
        "parameters": {
            "type": "object",
            "properties": {"root": {"$ref": "#/$defs/node"}},
            "$defs": {"node": {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}}},
        },
    },
}


def made(*tools: Any, choice: Any = None, parallel: bool = True) -> Any:
    found = offer(tools, choice, parallel)
    assert found is not None
    return found


def test_the_schema_accepts_exactly_the_offered_calls() -> None:
    schema = made(WEATHER, TREE, choice="required").schema()
    good = {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]}
    assert violation(schema, good) is None
    for bad in (
        {"answer": "hello"},
        {"tool_calls": []},
        {"tool_calls": [{"name": "get_weather", "arguments": {}}]},
        {"tool_calls": [{"name": "launch", "arguments": {"city": "Paris"}}]},
        {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}] * 9},
        good | {"more": 1},
    ):
        assert violation(schema, bad) is not None, bad


def test_references_inside_a_function_still_lead_to_where_they_led() -> None:
    schema = made(WEATHER, TREE, choice="required").schema()
    check_schema(schema)
    call = {"name": "plant", "arguments": {"root": {"child": {"child": {}}}}}
    assert violation(schema, {"tool_calls": [call]}) is None
    wrong = {"name": "plant", "arguments": {"root": {"child": {"child": 5}}}}
    assert violation(schema, {"tool_calls": [wrong]}) is not None


def test_auto_may_answer_and_a_named_function_may_not() -> None:
    assert violation(made(WEATHER).schema(), {"answer": "hi"}) is None
    named = made(WEATHER, TREE, choice={"type": "function", "function": {"name": "plant"}})
    assert [function.name for function in named.functions] == ["plant"]
    assert violation(named.schema(), {"answer": "hi"}) is not None
    two = {"tool_calls": [{"name": "plant", "arguments": {}}] * 2}
    assert violation(named.schema(), two) is not None


def test_one_call_at_a_time_means_one() -> None:
    two = {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}] * 2}
    assert violation(made(WEATHER).schema(), two) is None
    assert violation(made(WEATHER, parallel=False).schema(), two) is not None


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ((), "required", "tool_choice"),
        ((WEATHER,), {"type": "function", "function": {"name": "nothing"}}, "tool_choice"),
        ((WEATHER, WEATHER), None, "tools"),
        (({"type": "code_interpreter"},), None, "tools.0"),
        (({"type": "function", "function": {"name": "a b"}},), None, "tools.0.function.name"),
        (
            ({"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}},),
            None,
            "tools.0.function.parameters",
        ),
    ],
)
def test_tools_that_cannot_be_served_are_named(tools: Any, choice: Any, param: str) -> None:
    with pytest.raises(ToolsRefused) as refused:
        offer(tools, choice, parallel=True)
    assert refused.value.param == param


def test_no_tools_and_none_offer_nothing() -> None:
    assert offer((), None, parallel=True) is None
    assert offer((WEATHER,), "none", parallel=True) is None


def test_an_output_is_read_as_answer_or_calls() -> None:
    assert read('{"answer": "hi"}') == "hi"
    assert read('{"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}') == (Call("f", {"a": 1}),)
    for neither in ("", "[]", "{}", '{"tool_calls": [{}]}', "5", '{"tool_calls": 5}'):
        with pytest.raises(ValueError):  # noqa: PT011  # JSON's own error is one
            read(neither)


@given(st.text(), st.booleans(), st.data())
def test_what_is_shown_of_an_answer_only_grows_and_is_never_wrong(
    text: str, ascii_only: bool, data: st.DataObject
) -> None:
    output = json.dumps({"answer": text}, ensure_ascii=ascii_only)
    cut = data.draw(st.integers(0, len(output)))
    shown, later = answer_so_far(output[:cut]), answer_so_far(output)
    assert text.startswith(shown)
    assert later == text


def test_calls_and_results_of_earlier_turns_reach_templates_without_tools() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    plain = told(
        [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "12 degrees"},
        ],
        "Use tools.",
    )
    assert [message["role"] for message in plain] == ["system", "user", "assistant", "user"]
    assert read(plain[2]["content"]) == (Call("get_weather", {"city": "Paris"}),)
    assert plain[3]["content"] == "Result of get_weather: 12 degrees"


def test_a_schema_is_never_fetched() -> None:
    with pytest.raises(BadSchema, match="nothing is fetched"):
        check_schema({"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(BadSchema):
        check_schema({"type": "colour"})
