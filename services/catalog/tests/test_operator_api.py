"""Operators publish over HTTP: YAML or JSON, problems with line and field."""

import json
import re

from .builders import TOOL_FILE
from .conftest import Running


async def test_a_tool_is_published_as_yaml_and_again_without_change(empty: Running) -> None:
    first = await empty.operators.post(
        "/catalog/tools", content=TOOL_FILE, headers={"Content-Type": "application/yaml"}
    )
    again = await empty.operators.post("/catalog/tools", content=TOOL_FILE)
    assert (first.status_code, first.json()["outcome"]) == (201, "new")
    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")


async def test_a_bad_document_is_a_problem_with_line_and_field(empty: Running) -> None:
    answer = await empty.operators.post("/catalog/tools", content=TOOL_FILE + "colour: red\n")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"line": 15, "field": "colour", "detail": "is no field of a tool file"}]


async def test_a_slug_clash_is_a_conflict(empty: Running) -> None:
    await empty.operators.post("/catalog/tools", content=TOOL_FILE)
    other = TOOL_FILE.replace("name: Quillbase", "name: Inkwell").replace("vendor: Quillbase BV", "vendor: Ink Ltd")
    answer = await empty.operators.post("/catalog/tools", content=other)
    assert answer.status_code == 409
    assert "belongs to Quillbase by Quillbase BV" in answer.json()["detail"]


async def test_a_document_past_the_limit_is_not_read_to_its_end(empty: Running) -> None:
    answer = await empty.operators.post("/catalog/tools", content=b"#" * (3 * 1024 * 1024))
    assert answer.status_code == 413


async def test_a_tool_is_retired_and_an_unknown_one_is_not(empty: Running) -> None:
    await empty.operators.post("/catalog/tools", content=TOOL_FILE)
    assert (await empty.operators.post("/catalog/tools/quillbase/retire")).json()["outcome"] == "retired"
    assert (await empty.operators.post("/catalog/tools/nothing/retire")).status_code == 404
    assert (await empty.operators.get("/catalog/tools")).json() == []
    assert (await empty.operators.get("/catalog/tools?retired=true")).json()[0]["status"] == "retired"


async def test_readers_cannot_publish(empty: Running) -> None:
    assert (await empty.readers.post("/catalog/tools", content=TOOL_FILE)).status_code in (404, 405)


async def test_its_description_has_every_schema_that_it_speaks_of(empty: Running) -> None:
    described = (await empty.operators.get("/catalog/openapi.json")).json()
    spoken_of = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert {"ProblemDocument", "FieldError"} <= spoken_of <= set(described["components"]["schemas"])
