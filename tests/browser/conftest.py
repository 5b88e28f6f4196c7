"""The whole product in a process of its own, with Chromium in front. A page that asks anybody else fails its test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copy

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from shipjury_standalone import chromium
from shipjury_standalone.driven import Driven
from shipjury_standalone.starter import starter_folder

OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAIR = "/compare/hf-inference-providers-hub-vs-mistral-3-small-22b"
TOOL = "/tools/mistral-3-small-22b"
PAGES = (
    "/",
    "/tools",
    TOOL,
    "/compare",
    PAIR,
    "/reviewers",
    "/reviewers/skeptic",
    "/categories/developer-tools",
    "/search?q=mistral",
    "/bookmarks",
    "/methods",
    "/subscribe",
    "/subscribe/sent",
    "/digests",
    "/tools/nothing-here",
)


@dataclass
class Windows:
    """Opens windows of readers, each with a cookie jar of its own, and remembers what they asked for."""

    browser: Browser
    origin: str
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    opened: list[BrowserContext] = field(default_factory=list)

    def open(self, path: str, **settings: object) -> Page:
        """A new reader's window at a path of the site."""
        settings = {"viewport": {"width": 1280, "height": 900}, **settings}
        context = self.browser.new_context(base_url=self.origin, **settings)  # type: ignore[arg-type]
        self.opened.append(context)
        page = context.new_page()
        page.on("request", self._asked)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if _is_ours(message.text) else None)
        page.goto(path, wait_until="load")
        return page

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:")):
            self.elsewhere.append(request.url)


def _is_ours(message: str) -> bool:
    return "Content Security Policy" in message or "Uncaught" in message


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """``shipjury up`` with the eight tools of the reference pages, both tools of the compare page judged."""
    # the exam that comes with the panel holds; sitting it again would only take the tests' time
    shipjury = Driven(
        tmp_path_factory.mktemp("browser") / "data", "--no-starter", environment={"PANEL_EXAM_AGAIN": "false"}
    )
    try:
        shipjury.start(120)
        tools = tmp_path_factory.mktemp("tools")
        for name in ("hub", "v2", "marketplace"):
            copy(starter_folder() / f"hf-inference-providers-{name}.yaml", tools)
        for name in ("3-small-7b", "3-small-22b", "3-small-24b", "3b", "4b"):
            copy(starter_folder() / f"mistral-{name}.yaml", tools)
        done = shipjury.command("tools", "publish", str(tools))
        assert done.returncode == 0, done.stderr
        with shipjury.readers() as readers:
            _until(lambda: readers.get("/tools/mistral-3-small-22b.json").json()["verdict"] is not None)
            _until(lambda: readers.get("/tools/hf-inference-providers-hub.json").json()["verdict"] is not None)
            _until(lambda: readers.get("/reviewers/skeptic").status_code == 200)
        yield shipjury
    finally:
        shipjury.abandon()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    executable: Path = chromium.ensure()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(executable), args=OPTIONS)
        yield running
        running.close()


@pytest.fixture
def windows(product: Driven, browser: Browser) -> Iterator[Windows]:
    """Windows on the product; whatever a page asked of another origin, or broke, fails the test."""
    windows = Windows(browser, product.state.readers.rstrip("/"))
    yield windows
    for context in windows.opened:
        context.close()
    assert windows.elsewhere == []
    assert windows.errors == []


def _until(check: Callable[[], bool], seconds: float = 240) -> None:
    import time

    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s")
        time.sleep(0.5)
