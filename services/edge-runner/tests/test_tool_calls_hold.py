"""Tool calls always validate against their schemas: over random schemas, whatever an engine writes, and for real."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runner.api.errors import ApiError
from edge_runner.api.requests import ChatRequest
from edge_runner.api.structured import checked, checked_chunks, offered
from edge_runner.schemas import violation

from .conftest import MODEL, RunningNode

names = st.sampled_from(["a", "b", "city", "is_open", "naïve"])
leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"type": "boolean"}),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-9, 9),
        st.integers(0, 9),
    ),
    st.lists(st.sampled_from(["red", "grün", 7, True, None]), min_size=1, max_size=3, unique_by=repr).map(
        lambda values: {"enum": values}
    ),
    st.builds(lambda longest: {"type": "string", "maxLength": longest}, st.integers(1, 8)),
    st.just({"const": "x"}),
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of one to three fields, some of which must be there."""
    return st.dictionaries(names, inner, min_size=1, max_size=3).flatmap(
        lambda fields: st.lists(st.sampled_from(sorted(fields)), unique=True).map(
            lambda needed: {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}
        )
    )


def arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda item, most: {"type": "array", "items": item, "maxItems": most}, inner, st.integers(1, 2))


schemas = st.recursive(leaves, lambda inner: objects(inner) | arrays(inner), max_leaves=4)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.sampled_from(["x", "red", "", "long enough to be too long"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that keep a schema of those above."""
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    kind = schema["type"]
    if kind == "object":
        needed = {name: fitting(inner) for name, inner in schema["properties"].items() if name in schema["required"]}
        others = {name: fitting(inner) for name, inner in schema["properties"].items() if name not in needed}
        return st.fixed_dictionaries(needed, optional=others)
    if kind == "array":
        return st.lists(fitting(schema["items"]), max_size=schema["maxItems"])
    if kind == "string":
        return st.text(max_size=schema["maxLength"])
    return st.booleans() if kind == "boolean" else st.integers(schema["minimum"], schema["maximum"])


def request(parameters: dict[str, Any], **more: Any) -> ChatRequest:
    tool = {"type": "function", "function": {"name": "act", "description": "Act.", "parameters": parameters}}
    return ChatRequest(model="m", messages=[{"role": "user", "content": "Act."}], tools=[tool], **more)


def written(arguments: Any, name: str = "act") -> str:
    return json.dumps({"tool_calls": [{"name": name, "arguments": arguments}]})


async def streamed(asked: ChatRequest, output: str, pieces: int) -> list[dict[str, Any]]:
    async def chunks() -> AsyncIterator[dict[str, Any]]:
        size = max(1, len(output) // pieces)
        for begin in range(0, len(output), size):
            yield {"choices": [{"index": 0, "delta": {"content": output[begin : begin + size]}, "finish_reason": None}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

    return [chunk async for chunk in checked_chunks(asked, offered(asked), chunks())]


@settings(max_examples=40, deadline=None)
@given(parameters=objects(schemas), data=st.data())
async def test_no_call_leaves_the_node_that_breaks_its_schema(parameters: dict[str, Any], data: st.DataObject) -> None:
    asked = request(parameters, tool_choice="required")
    arguments = data.draw(fitting(parameters) | anything)
    name = data.draw(st.sampled_from(["act", "act", "act", "launch"]))
    valid = name == "act" and isinstance(arguments, dict) and violation(parameters, arguments) is None
    output = written(arguments, name)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": output}}
    try:
        message = checked(asked, offered(asked), choice)["message"]
        (call,) = message["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == arguments
    except ApiError as error:
        assert (valid, error.code) == (False, "tool_call_invalid")  # noqa: PT017  # both outcomes are right for some
    else:
        assert valid
    try:
        chunks = await streamed(asked, output, data.draw(st.integers(1, 9)))
        (call,) = chunks[-1]["choices"][0]["delta"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == arguments
        assert not any(chunk["choices"][0]["delta"].get("content") for chunk in chunks)
    except ApiError:
        assert not valid
    else:
        assert valid


@settings(max_examples=40, deadline=None)
@given(parameters=objects(schemas), data=st.data())
def test_the_grammars_schema_lets_every_valid_call_through(parameters: dict[str, Any], data: st.DataObject) -> None:
    """What the engine must follow forbids nothing that the caller's schema allows."""
    offer = offered(request(parameters, tool_choice="required"))
    assert offer is not None
    arguments = data.draw(fitting(parameters))
    assert violation(offer.schema(), json.loads(written(arguments))) is None


@pytest.mark.timeout(400)
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parameters=objects(schemas))
def test_the_real_engine_calls_validly_over_random_schemas(node: RunningNode, parameters: dict[str, Any]) -> None:
    asked = request(parameters, tool_choice="required", parallel_tool_calls=False, max_tokens=250, seed=1)
    answer = node.post("/chat/completions", **asked.model_dump(exclude_unset=True, exclude={"model"}))
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    (call,) = choice["message"]["tool_calls"]
    assert answer.json()["model"] == MODEL
    assert violation(parameters, json.loads(call["function"]["arguments"])) is None
