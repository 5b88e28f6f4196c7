"""Keywords of JSON schemas: each is held, checked or refused by name and place, before anything is generated."""

import json
import re
from typing import Any

import pytest

from edge_runner.domain.honoured import REFUSED, refusal, unwritable

from .conftest import RunningNode

ASK: Any = [{"role": "user", "content": "Invent one."}]
CODE = "^(AB|CD)-[0-9]{2,3}[a-z]?$"


@pytest.mark.parametrize("keyword", sorted(REFUSED))
def test_what_no_grammar_can_hold_is_named_with_its_place(keyword: str) -> None:
    inner = {"type": "object", "properties": {"a": {"type": "array", "items": {keyword: {}}}}}
    no = refusal({"$defs": {"x": inner}, "$ref": "#/$defs/x"})
    assert no is not None
    assert (no.keyword, no.place) == (keyword, f"$defs.x.properties.a.items.{keyword}")


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"$ref": "#/$defs/x", "type": "object", "$defs": {"x": {}}}, "$ref"),
        ({"anyOf": [{"required": ["a"]}], "properties": {"a": {}}}, "anyOf"),
        ({"allOf": [{"required": ["a"]}], "properties": {"a": {}}}, "allOf"),
        ({"prefixItems": [{}], "items": {}}, "prefixItems"),
        ({"properties": {"a": True}}, "properties.a"),
        ({"additionalProperties": {"not": {}}}, "additionalProperties.not"),
        ({"anyOf": [{"type": "null"}, {"pattern": "x"}]}, "anyOf.1.pattern"),
    ],
)
def test_what_a_grammar_would_pass_over_is_named_with_its_place(schema: dict[str, Any], place: str) -> None:
    no = refusal(schema)
    assert no is not None
    assert no.place == place


def test_a_property_may_be_named_like_a_keyword() -> None:
    assert refusal({"type": "object", "properties": {"not": {"type": "string"}, "pattern": {"enum": ["if"]}}}) is None
    assert refusal({"$ref": "#"}) is None
    assert refusal({"$ref": "#"}, whole_by_ref=False) is not None


@pytest.mark.parametrize("pattern", [CODE, "^$", "^a\\.b$", "^(?:x|y)*$", "^[a-z \\]]+$", "^[A-Z]-[0-9]$"])
def test_patterns_that_a_grammar_can_write_are_taken(pattern: str) -> None:
    assert unwritable(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    ["x", "^x", "^x\\$", "^.$", "^[^a]$", "^\\d$", "^[\\d]$", "^(?=a)a$", "^a*?$", '^"$', "^[ -~]$", "^[A-z]$", "^($"],
)
def test_patterns_that_it_cannot_are_not(pattern: str) -> None:
    assert unwritable(pattern) is not None


def test_the_real_engine_writes_what_a_pattern_says(node: RunningNode) -> None:
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string", "pattern": CODE}},
        "required": ["code"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "code", "schema": schema}}
    answer = node.post("/chat/completions", messages=ASK, response_format=form, max_tokens=40, seed=1)
    assert answer.status_code == 200, answer.text
    (choice,) = answer.json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert re.fullmatch(CODE, json.loads(choice["message"]["content"])["code"])


def test_a_request_is_told_which_keyword_and_where(node: RunningNode) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "pattern": "Par.s"}}}
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    answer = node.post("/chat/completions", messages=ASK, response_format=form, max_tokens=5)
    assert answer.status_code == 400
    error = answer.json()["error"]
    place = "response_format.json_schema.schema.properties.city.pattern"
    assert (error["code"], error["keyword"], error["param"]) == ("unsupported_schema", "pattern", place)
    tool = {"type": "function", "function": {"name": "f", "parameters": schema | {"not": {"required": ["x"]}}}}
    error = node.post("/chat/completions", messages=ASK, tools=[tool], max_tokens=5).json()["error"]
    assert (error["keyword"], error["param"]) == ("not", "tools.0.function.parameters.not")
