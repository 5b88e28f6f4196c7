"""The operators' page of spend: what a person sees of the ledger, the budgets and an anomaly, and what they can do."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.embedded.redis import Redis
from shipjury_standalone.ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date()
SUPPORT = "<b>support</b>"


@pytest.fixture(scope="module")
def origin(embedded_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The operators' port of a gateway with days of spend behind it."""
    folder = tmp_path_factory.mktemp("spend")
    redis = Redis(folder / "redis", durable=False)
    redis.start()
    public, operators = free_port(), free_port()
    url = embedded_postgres.url("spend_page")
    subprocess.run([sys.executable, "-c", _MAKE, embedded_postgres.dsn()], check=True)
    subprocess.run([sys.executable, "-m", "tests.browser.days_of_spend", url, str(TODAY)], check=True, cwd=ROOT)
    told = {"DATABASE_URL": url, "REDIS_URL": redis.url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    told |= {"OPERATOR_KEY": "operators", "PUBLIC_PORT": str(public), "OPERATOR_PORT": str(operators)}
    with (folder / "log").open("wb") as out:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "inference_gateway", "api"],
            env=os.environ | {f"GATEWAY_{name}": value for name, value in told.items()},
            stdout=out,
            stderr=out,
        )
    try:
        found = f"http://127.0.0.1:{operators}"
        deadline = time.monotonic() + 100
        while "$2.999999999" not in page_of(found):  # until what was spent is counted again
            assert gateway.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, page_of(found)
            time.sleep(0.1)
        yield found
    finally:
        gateway.terminate()
        gateway.wait(60)
        redis.stop()


_MAKE = """
import asyncio, sys, asyncpg
async def make():
    admin = await asyncpg.connect(sys.argv[1])
    await admin.execute('CREATE DATABASE "spend_page"')
    await admin.close()
asyncio.run(make())
"""


def page_of(origin: str) -> str:
    """The page as text; nothing where nobody answers."""
    try:
        return httpx.get(f"{origin}/gateway/", auth=("operator", "operators"), timeout=5).text
    except httpx.TransportError:
        return ""


@dataclass
class Visits:
    """Opens the page as a person with the key, and remembers what it asked of others and what went wrong."""

    browser: Browser
    origin: str
    wrong: list[str] = field(default_factory=list)
    opened: list[BrowserContext] = field(default_factory=list)

    def open(self, **settings: object) -> Page:
        """A new window."""
        key = {"username": "operator", "password": "operators"}
        context = self.browser.new_context(base_url=self.origin, http_credentials=key, **settings)  # type: ignore[arg-type]
        self.opened.append(context)
        page = context.new_page()
        page.on(
            "request",
            lambda request: None if request.url.startswith((self.origin, "data:")) else self.wrong.append(request.url),
        )
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text))
        page.goto("/gateway/")
        return page


@pytest.fixture
def visits(origin: str, browser: Browser) -> Iterator[Visits]:
    """Windows on the page; whatever it asked of another origin, or said on the console, fails the test."""
    made = Visits(browser, origin)
    yield made
    for context in made.opened:
        context.close()
    assert made.wrong == []


def test_a_person_sees_who_spent_what_where_and_when(visits: Visits) -> None:
    page = visits.open()
    expect(page.get_by_role("heading", level=1)).to_have_text("$8.500000001")
    expect(page.get_by_text("8 requests", exact=False).first).to_be_visible()
    for table, rows in {
        "By project": {"research": "$7.000000001 82.4% 5", SUPPORT: "$1.50 17.6% 3"},
        "By provider": {"groq": "$6.50 76.5% 7", "openai": "$2.000000001 23.5% 1"},
        "By model": {"llama-3.3-70b": "$6.50 76.5% 7", "gpt-4.1": "$2.000000001 23.5% 1"},
    }.items():
        region = page.get_by_role("region", name=f"{table}, as a table")
        for name, told in rows.items():
            row = region.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))
            shown = row.locator("td.num").evaluate_all("cells => cells.map(one => one.firstChild.textContent.trim())")
            assert " ".join(shown) == told, (table, name)
    page.get_by_text("Every day as a table").click()
    days = page.get_by_role("region", name="Every day, as a table")
    for ago, told in ((0, "$5.00"), (1, "$1.50"), (2, "$2.000000001"), (3, "$0.00")):
        day = page.get_by_role("rowheader", name=str(TODAY - timedelta(days=ago)), exact=True)
        expect(days.get_by_role("row").filter(has=day)).to_contain_text(told)


def test_a_person_sees_what_is_left_of_each_budget(visits: Visits) -> None:
    page = visits.open()
    budgets = page.get_by_role("region", name="Budgets, as a table")
    expect(budgets.get_by_role("row", name="research")).to_contain_text("$2.999999999")
    expect(budgets.get_by_role("row", name="research")).to_contain_text("$10.00")
    expect(budgets.get_by_role("row").filter(has_text=SUPPORT).filter(has_text="in total")).to_contain_text("97")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("light", 360), ("dark", 1280), ("dark", 360)])
def test_the_page_of_spend_is_for_everybody(visits: Visits, scheme: str, width: int) -> None:
    page = visits.open(color_scheme=scheme, viewport={"width": width, "height": 800})
    if folder := os.environ.get("SHIPJURY_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/spend-{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:160]) for one in found] == []


def test_a_person_sees_an_anomaly_and_lifts_its_throttle(visits: Visits) -> None:
    page = visits.open()
    expect(page.get_by_text(f"{SUPPORT} spends out of its pattern.")).to_be_visible()
    anomaly = page.locator("#anomalies li")
    expect(anomaly).to_contain_text("found 21 s after its beginning, by its repeated requests")
    expect(anomaly).to_contain_text("$0.90 a minute")
    expect(page.locator("#budgets").get_by_text("throttled by an anomaly")).to_be_visible()
    page.get_by_role("button", name="Lift the throttle").click()
    expect(anomaly).to_contain_text("Throttle lifted by hand")
    expect(page.locator("#budgets").get_by_text("throttled by an anomaly")).to_have_count(0)
