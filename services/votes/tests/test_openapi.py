"""The API does what its OpenAPI document says, whatever is sent."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis import checks as named

from votes.operator_api import openapi_document

from .conftest import Replica, Served, Service

Serving = Callable[[Service], Awaitable[Served]]

ROUTES = [
    ("GET", "/votes/{tool_id}"),
    ("PUT", "/votes/{tool_id}"),
    ("DELETE", "/votes/{tool_id}"),
    ("POST", "/votes/{tool_id}"),
    ("GET", "/votes/{tool_id}/log"),
    ("GET", "/votes/stream"),
]


def test_the_document_names_every_route_and_describes_every_field() -> None:
    document = openapi_document()
    readers = [
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["tags"] == ["readers"]
    ]
    assert sorted(readers) == sorted(ROUTES)
    for name, schema in document["components"]["schemas"].items():
        if name in {"HTTPValidationError", "ValidationError"}:
            pytest.fail(f"{name} is the framework's; ours are problem documents")
        for field, described in schema.get("properties", {}).items():
            assert described.get("description"), f"{name}.{field}"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path}"
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), f"{method} {path}: {parameter['name']}"


async def test_operators_get_the_document(replica: Replica) -> None:
    operator = await (await replica()).operator()
    assert (await operator.get("/votes/openapi.json")).json() == openapi_document()


@pytest_asyncio.fixture
async def addresses(replica: Replica, serving: Serving) -> dict[str, str]:
    """Where readers' and operators' routes are served."""
    many = {f"limit_{name}": 10**6 for name in ("voter_writes", "network_writes", "network_voters", "signal_voters")}
    service = await replica(**many)
    operators = replace(service, api=replace(service.api, public=service.api.operator, background=()))
    return {"readers": (await serving(service)).address, "operators": (await serving(operators)).address}


CHECKS = [
    named.not_a_server_error,
    named.status_code_conformance,
    named.content_type_conformance,
    named.response_schema_conformance,
]


async def fuzz(
    addresses: dict[str, str], method: str, path: str, mode: GenerationMode, *, tool: str | None = None
) -> set[int]:
    """Send what the document lets be sent, or what it does not; the statuses that came back."""
    operation = schemathesis.openapi.from_dict(openapi_document())[path][method]
    address = addresses[operation.definition.raw["tags"][0]]
    statuses: set[int] = set()

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if tool:
            case.path_parameters = {"tool_id": tool}
        response = case.call(base_url=address, allow_redirects=False)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    await asyncio.to_thread(send)
    return statuses


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if not route[1].endswith("stream")])
async def test_readers_routes_answer_as_documented(
    addresses: dict[str, str], tool: str, method: str, path: str
) -> None:
    assert await fuzz(addresses, method, path, GenerationMode.POSITIVE, tool=tool) & {200, 303}
    assert await fuzz(addresses, method, path, GenerationMode.POSITIVE) == {404}
    assert await fuzz(addresses, method, path, GenerationMode.NEGATIVE) - {200, 303}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/votes/held"),
        ("POST", "/votes/held/release"),
        ("POST", "/votes/held/void"),
        ("POST", "/votes/{tool_id}/voters/{voter}/void"),
    ],
)
async def test_operators_routes_answer_as_documented(addresses: dict[str, str], method: str, path: str) -> None:
    assert await fuzz(addresses, method, path, GenerationMode.POSITIVE) & {200, 404}
    assert await fuzz(addresses, method, path, GenerationMode.NEGATIVE) - {200}


@pytest.mark.parametrize("tools", ["", ",", "x", "\x00", "a" * 5000, "%F0%28", "'; DROP TABLE ballots; --"])
async def test_a_stream_of_nonsense_is_refused(addresses: dict[str, str], tools: str) -> None:
    async with httpx.AsyncClient(base_url=addresses["readers"]) as reader:
        answer = await reader.get("/votes/stream", params={"tools": tools})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
