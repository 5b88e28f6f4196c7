"""The operators' page: what it says, what it asks for, and that what strangers wrote stays text."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from inference_gateway.operator_api.page import words
from inference_gateway.operator_api.page.figures import bars, columns
from inference_gateway.store import accounts, watching
from inference_gateway.store.watching import Rates


@pytest_asyncio.fixture
async def browser(gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=gateway.api.operator)
    async with httpx.AsyncClient(transport=transport, base_url="http://operators") as client:
        yield client


async def anomaly(gateway: Any) -> str:
    now = datetime.now(UTC)

    async def make(connection: Any) -> str:
        project = await accounts.make_project(connection, "<b>lab</b>")
        await accounts.change_project(connection, project, throttle_requests_per_minute=5)
        rates = Rates(900_000_000, 50_000_000, 612.5, 30.0)
        key = (project, "sim-chat", "cost")
        return str(await watching.open_anomaly(connection, key, rates, since=now - timedelta(seconds=21), now=now))

    return str(await gateway.change(make))


async def test_the_page_shows_spend_budgets_and_anomalies(gateway: Any, browser: httpx.AsyncClient) -> None:
    await gateway.budget(2_000_000_000)
    await gateway.chat("words=7")
    rows = await gateway.ledger()
    await anomaly(gateway)
    answer = await browser.get("/gateway/")
    assert answer.status_code == 200
    text = answer.text
    assert words.money(rows[0]["cost_nano_usd"]) in text
    assert words.money(2_000_000_000 - rows[0]["cost_nano_usd"]) in text
    assert "spends out of its pattern" in text
    assert "Lift the throttle" in text
    assert "found 21 s after its beginning" in text
    assert "<b>lab</b>" not in text
    assert "&lt;b&gt;lab&lt;/b&gt;" in text


async def test_the_page_asks_nobody_else_and_runs_no_script(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/gateway/?days=7")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"<script|https?://|style=", answer.text) == []
    for address in set(re.findall(r'(?:href|src)="(/gateway/static/[^"]+)"', answer.text)):
        assert (await browser.get(address)).status_code == 200
    assert (await browser.get("/gateway/static/../app.py")).status_code == 404


async def test_an_empty_ledger_is_a_page_too(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/gateway/")).text
    assert "Nothing was spent in these days." in text
    assert "There is no budget." in text


async def test_a_person_lifts_a_throttle_on_the_page(gateway: Any, browser: httpx.AsyncClient) -> None:
    number = await anomaly(gateway)
    answer = await browser.post(f"/gateway/anomalies/{number}/lift")
    assert (answer.status_code, answer.headers["location"]) == (303, "/gateway/#anomalies")
    assert (await browser.post(f"/gateway/anomalies/{number}/lift")).status_code == 404
    [shown] = (await browser.get("/gateway/admin/anomalies")).json()
    assert shown["lifted_at"] is not None


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "$0.00"), (59, "$0.000000059"), (1_500_000_000, "$1.50"), (1_234_567_000_000_001, "$1,234,567.000000001")],
)
def test_money_is_exact(nano: int, text: str) -> None:
    assert words.money(nano) == text
    assert words.money(-nano or 0) == (f"\N{MINUS SIGN}{text}" if nano else text)


def test_rows_past_the_twelfth_become_one_and_the_sum_stays() -> None:
    rows = [{"model": f"m{at}", "cost_nano_usd": at, "requests": 1} for at in range(40)]
    shown = bars(rows, "model")
    assert (len(shown), shown[-1].name) == (12, "29 others")
    assert sum(bar.nano_usd for bar in shown) == sum(range(40))
    assert max(bar.percent for bar in shown) == 100


def test_a_day_of_nothing_has_its_place_on_the_axis() -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC).date()
    drawn = columns({since + timedelta(days=2): {"cost_nano_usd": 8, "requests": 1}}, since, 4)
    assert [column.height for column in drawn] == [0, 0, 100, 0]
    assert drawn[-1].x + drawn[-1].width < 100
