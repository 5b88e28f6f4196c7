"""What operators do: projects, keys, budgets, providers, usage."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio


@pytest_asyncio.fixture
async def operators(gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the operators' routes; the operators' key is checked in front of them, not here."""
    transport = httpx.ASGITransport(app=gateway.api.operator)
    async with httpx.AsyncClient(transport=transport, base_url="http://operators/gateway/admin") as client:
        yield client


async def test_a_project_gets_a_key_and_a_budget_that_hold(gateway: Any, operators: httpx.AsyncClient) -> None:
    project = (await operators.post("/projects", json={"name": "lab", "cost_centre": "r-d"})).json()["id"]
    made = (await operators.post("/keys", json={"project": "lab", "name": "first"})).json()
    assert made["key"].startswith("sk-sj-")
    budget = {"scope": "key", "scope_id": made["id"], "metric": "requests", "window": "day", "limit": 1}
    assert (await operators.put("/budgets", json=budget)).status_code == 200
    await gateway.refresh()
    assert [(await gateway.chat(key=made["key"]))[0] for _ in range(2)] == [200, 429]
    [row] = await gateway.ledger()
    assert (row["project_id"], row["cost_centre"]) == (project, "r-d")
    [used] = (await operators.get("/usage", params={"group_by": "project,cost_centre"})).json()["data"]
    assert (used["project"], used["cost_centre"], used["requests"]) == ("lab", "r-d", 1)
    text = (await operators.get("/usage", params={"group_by": "project", "format": "csv"})).text
    assert text.splitlines()[0].startswith("project,attempts,requests")
    listed = (await operators.get("/keys")).text
    assert made["key"] not in listed
    assert (await operators.delete(f"/keys/{made['id']}")).status_code == 200
    assert (await operators.delete(f"/keys/{made['id']}")).status_code == 404


async def test_a_blocked_project_is_unblocked_by_an_operator(gateway: Any, operators: httpx.AsyncClient) -> None:
    await operators.patch("/projects/panel", json={"blocked": "looked odd"})
    await gateway.refresh()
    status, answer, _ = await gateway.chat()
    assert (status, answer["error"]["code"]) == (403, "project_blocked")
    await operators.patch("/projects/panel", json={"blocked": None})
    await gateway.refresh()
    assert (await gateway.chat())[0] == 200


async def test_what_does_not_exist_or_makes_no_sense_is_said(operators: httpx.AsyncClient) -> None:
    missing = await operators.post("/keys", json={"project": "nobody", "name": "x"})
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert (await operators.put("/budgets", json={"scope": "moon"})).status_code == 422
    assert (await operators.get("/usage", params={"group_by": "colour"})).status_code == 400
    assert (await operators.delete("/budgets/none")).status_code == 404


async def test_providers_are_shown_without_what_is_secret(operators: httpx.AsyncClient) -> None:
    answer = await operators.get("/providers")
    assert {one["provider"] for one in answer.json()} == {"alpha", "beta", "gamma"}
    assert "secret" not in answer.text


async def test_a_rotated_key_works_with_both_secrets_until_its_grace_is_over(
    gateway: Any, operators: httpx.AsyncClient
) -> None:
    made = (await operators.post("/keys", json={"project": "panel", "name": "turning"})).json()
    budget = {"scope": "key", "scope_id": made["id"], "metric": "requests", "window": "day", "limit": 3}
    await operators.put("/budgets", json=budget)
    turned = (await operators.post(f"/keys/{made['id']}/rotate", json={"grace_seconds": 3600})).json()
    await gateway.refresh()
    # one key still: both secrets count against its budget
    assert [(await gateway.chat(key=key))[0] for key in (made["key"], turned["key"])] == [200, 200]
    again = (await operators.post(f"/keys/{made['id']}/rotate", json={"grace_seconds": 0})).json()
    await gateway.refresh()
    statuses = [(await gateway.chat(key=key))[0] for key in (made["key"], turned["key"], again["key"], again["key"])]
    assert statuses == [401, 401, 200, 429]
    assert {row["key_id"] for row in await gateway.ledger()} == {made["id"]}
    assert (await operators.post("/keys/none/rotate", json={})).status_code == 404
