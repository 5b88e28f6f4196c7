"""The chat page of a node: what a person sees of the model, its tool calls and its memory; and nothing as markup."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

TOKEN = "open-sesame"
PATIENCE = 120_000
MARKUP = "<img src=x onerror=document.title='run'>"
CHOOSE = {
    "type": "function",
    "function": {
        "name": "choose",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "green"]}},
            "required": ["colour"],
            "additionalProperties": False,
        },
    },
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node with the embedded model, whose calls need a token."""
    port, operators = free_port(), free_port()
    told = {"PUBLIC_PORT": port, "OPERATOR_PORT": operators, "TOKEN": TOKEN, "SLOTS": 2}
    log: Path = tmp_path_factory.mktemp("node") / "log"
    with log.open("wb") as out:
        node = subprocess.Popen(
            [sys.executable, "-m", "edge_runner", "serve"],
            env=os.environ | {f"EDGE_{name}": str(value) for name, value in told.items()},
            stdout=out,
            stderr=out,
        )
    try:
        deadline = time.monotonic() + 200
        while not answers(f"http://127.0.0.1:{operators}/edge/readyz"):
            assert node.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        node.terminate()
        node.wait(60)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).is_success
    except httpx.TransportError:
        return False


@dataclass
class Visits:
    """Opens the page, and remembers what it asked of others and what went wrong."""

    browser: Browser
    origin: str
    wrong: list[str] = field(default_factory=list)
    opened: list[BrowserContext] = field(default_factory=list)

    def open(self, *, unlocked: bool = True, **settings: object) -> Page:
        context = self.browser.new_context(base_url=self.origin, **settings)  # type: ignore[arg-type]
        self.opened.append(context)
        page = context.new_page()
        page.on(
            "request",
            lambda request: None if request.url.startswith((self.origin, "data:")) else self.wrong.append(request.url),
        )
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text) if "Security Policy" in said.text else None)
        page.goto("/")
        if unlocked:
            page.get_by_label("only calls with its token").fill(TOKEN)
            page.keyboard.press("Enter")
            expect(page.locator("#state")).to_have_text("ready")
        return page


@pytest.fixture
def visits(origin: str, browser: Browser) -> Iterator[Visits]:
    made = Visits(browser, origin)
    yield made
    for context in made.opened:
        context.close()
    assert made.wrong == []


def ask(page: Page, text: str, most: int, how: str = "text", **typed: str) -> None:
    """Set what is beside the message, then send it with the keyboard."""
    page.locator("#extras").evaluate("one => { one.open = true }")
    page.get_by_label(how, exact=True).check()
    page.get_by_label("Most tokens").fill(str(most))
    for place, value in typed.items():
        page.locator(f"#{place}").fill(value)
    page.locator("#extras").evaluate("one => { one.open = false }")
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def test_the_token_is_asked_for_and_a_wrong_one_is_told(visits: Visits) -> None:
    page = visits.open(unlocked=False)
    field_ = page.get_by_label("only calls with its token")
    expect(field_).to_be_focused()
    field_.fill("guessed")
    page.keyboard.press("Enter")
    expect(page.get_by_text("That is not its token.")).to_be_visible()
    field_.fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("ready")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()


def test_an_answer_is_streamed_with_its_speed_and_the_nodes_memory_beside_it(visits: Visits) -> None:
    page = visits.open()
    ask(page, f"Count. {MARKUP}", 12)
    expect(page.locator(".turn.you .said")).to_have_text(f"Count. {MARKUP}")
    expect(page.locator(".turn.model .note")).to_contain_text("tokens/s", timeout=PATIENCE)
    assert page.locator(".turn.model .said").inner_text()
    expect(page.locator("#speed")).to_contain_text("tokens/s")
    expect(page.locator("#first")).to_contain_text(" s")
    expect(page.locator("#memory")).to_contain_text("MiB of")
    assert page.locator("#memory-bar").evaluate("one => one.value > 100e6 && one.value < one.max")


def test_structured_output_is_shown_as_text_whatever_is_in_it(visits: Visits) -> None:
    page = visits.open()
    schema = {
        "type": "object",
        "properties": {"a": {"const": MARKUP}},
        "required": ["a"],
        "additionalProperties": False,
    }
    ask(page, "Write it.", 60, "JSON of a schema", schema=json.dumps(schema))
    expect(page.locator(".turn.model pre")).to_have_text(json.dumps({"a": MARKUP}, indent=2), timeout=PATIENCE)
    expect(page.get_by_text("Follows the schema")).to_be_visible()
    assert page.locator("#log img").count() == 0
    assert page.title() == "Try the model on this node"


def test_a_tool_call_is_shown_and_its_result_goes_back_to_the_model(visits: Visits) -> None:
    page = visits.open()
    ask(page, "Choose a colour.", 250, "tool calls only", tools=json.dumps([CHOOSE]))
    call = page.locator(".call").first
    expect(call.get_by_text("choose", exact=True)).to_be_visible(timeout=PATIENCE)
    assert json.loads(call.locator("pre").inner_text())["colour"] in ("red", "green")
    page.locator("#most").evaluate("one => { one.value = 8 }")
    for place in page.locator(".call input").all():
        place.fill("It is done.")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.tool").first).to_contain_text("It is done.")
    expect(page.locator(".turn.model")).to_have_count(2)
    expect(page.locator(".turn.model").last.locator(".note")).to_be_visible(timeout=PATIENCE)


def test_what_is_no_json_is_told_at_its_field_and_not_sent(visits: Visits) -> None:
    page = visits.open()
    ask(page, "Hello", 5, "JSON of a schema", schema="{")
    expect(page.locator("#schema-problem")).to_contain_text("No JSON")
    expect(page.locator("#schema")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".turn")).to_have_count(0)


def test_what_the_node_refuses_is_shown_and_the_message_is_not_lost(visits: Visits) -> None:
    page = visits.open()
    ask(page, "Hello", 2048)
    expect(page.get_by_role("alert").filter(has_text="context_length_exceeded")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 360)])
def test_the_page_is_for_everybody(visits: Visits, scheme: str, width: int) -> None:
    page = visits.open(color_scheme=scheme, viewport={"width": width, "height": 740})
    ask(page, "Hi", 4)
    expect(page.locator(".turn.model .note")).to_be_visible(timeout=PATIENCE)
    for opened in (False, True):
        page.locator("#extras").evaluate("(one, open) => { one.open = open }", opened)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:160]) for one in found] == []


def test_its_policy_lets_nothing_in_from_elsewhere(origin: str) -> None:
    for path in ("/", "/page/chat.js", "/page/style.css"):
        answer = httpx.get(origin + path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in answer.text
    assert httpx.get(f"{origin}/page/..%2fcli.py", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
