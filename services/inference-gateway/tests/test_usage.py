"""Who pays for what: usage by every label, as JSON, CSV and FOCUS rows; money exact to the nano-dollar."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest_asyncio
import sqlalchemy as sa

from inference_gateway.store import accounts, focus
from inference_gateway.store.tables import ledger

GROUPS = "organisation,project,cost_centre,key,user,provider,model,day"


@pytest_asyncio.fixture
async def operators(gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=gateway.api.operator)
    async with httpx.AsyncClient(transport=transport, base_url="http://operators/gateway/admin") as client:
        yield client


@pytest_asyncio.fixture
async def used(gateway: Any) -> Any:
    """Two projects of two organisations have called; one of them under a label and for an end user."""

    async def make(connection: Any) -> str:
        await accounts.make_project(connection, "research", organisation="acme", cost_centre="r-d")
        return (await accounts.make_key(connection, "research", "nightly"))[1]

    key = await gateway.change(make)
    assert (await gateway.chat("words=7", user="ann"))[0] == 200
    narrowed = {"X-Shipjury-Cost-Centre": "team-7", "X-Shipjury-User": "bob"}
    assert (await gateway.chat("words=9", key=key, headers=narrowed))[0] == 200
    assert (await gateway.chat("words=11", key=key, model="sim-chat:beta"))[0] == 200
    return await gateway.ledger()


async def test_every_label_is_on_the_row_and_in_usage(gateway: Any, operators: httpx.AsyncClient, used: Any) -> None:
    answer = (await operators.get("/usage", params={"group_by": GROUPS})).json()
    assert answer["group_by"] == [*GROUPS.replace("user", "end_user").split(",")]
    rows = {(row["organisation"], row["project"], row["cost_centre"], row["provider"]): row for row in answer["data"]}
    assert set(rows) == {
        ("default", "panel", None, "alpha"),
        ("acme", "research", "r-d/team-7", "alpha"),
        ("acme", "research", "r-d", "beta"),
    }
    users = [row["end_user"] for row in rows.values()]
    assert len({user for user in users if user}) == 2
    assert "bob" not in str(answer)
    assert {row["key"] for row in rows.values()} == {"bootstrap", "nightly"}
    assert sum(row["cost_nano_usd"] for row in rows.values()) == sum(row["cost_nano_usd"] for row in used)
    assert all(Decimal(row["cost_usd"]) * 10**9 == row["cost_nano_usd"] for row in rows.values())


async def test_csv_has_its_header_also_when_nothing_was_used_and_a_key_sees_its_own_project_only(
    gateway: Any, operators: httpx.AsyncClient, used: Any
) -> None:
    long_ago = {"group_by": "project,user", "format": "csv", "since": "2020-01-01", "until": "2020-01-02"}
    [header] = (await operators.get("/usage", params=long_ago)).text.splitlines()
    assert header.startswith("project,end_user,attempts,requests,")
    lines = (await operators.get("/usage", params={"group_by": "project", "format": "csv"})).text.splitlines()
    assert len(lines) == 3
    status, own = await gateway.get("/v1/usage?group_by=project")
    assert (status, [row["project"] for row in own["data"]]) == (200, ["panel"])


async def test_focus_rows_sum_to_the_ledger_and_carry_its_labels(operators: httpx.AsyncClient, used: Any) -> None:
    answer = await operators.get("/usage", params={"format": "focus"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(rows[0]) == focus.COLUMNS
    assert sum(Decimal(row["BilledCost"]) for row in rows) * 10**9 == sum(row["cost_nano_usd"] for row in used)
    labels = [json.loads(row["Tags"]) for row in rows]
    assert {label.get("cost_centre") for label in labels} == {None, "r-d/team-7", "r-d"}
    assert {row["SubAccountName"] for row in rows} == {"panel", "research"}
    [alone] = list(
        csv.DictReader(
            io.StringIO((await operators.get("/usage", params={"format": "focus", "project": "panel"})).text)
        )
    )
    assert alone["BillingAccountName"] == "default"


async def test_what_has_no_price_is_in_no_focus_row(gateway: Any, operators: httpx.AsyncClient, used: Any) -> None:
    values = {name: value for name, value in used[0].items() if name not in ("id", "usage", "explanation")}
    values |= {"entry_id": "e", "attempt_id": "a", "cost_nano_usd": None, "started_at": datetime.now(UTC)}
    async with gateway.engine.begin() as connection:
        await connection.execute(sa.insert(ledger), [values])
    rows = list(csv.DictReader(io.StringIO((await operators.get("/usage", params={"format": "focus"})).text)))
    assert sum(int(row["x_Attempts"]) for row in rows) == 3
    counted = (await operators.get("/usage", params={"group_by": "organisation"})).json()["data"]
    assert sum(row["unpriced_attempts"] for row in counted) == 1


async def test_an_export_of_an_unknown_project_or_form_is_refused(operators: httpx.AsyncClient) -> None:
    assert (await operators.get("/usage", params={"project": "nobody"})).status_code == 404
    assert (await operators.get("/usage", params={"format": "xml"})).status_code == 422
    assert (await operators.get("/usage", params={"group_by": "colour"})).status_code == 400
