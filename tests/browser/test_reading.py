"""What a reader sees: at any width, in the dark, on paper, with a screen reader; and nothing from anybody else."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Response, expect

from .conftest import PAGES, PAIR, TOOL, Windows

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_scrolls_sideways(windows: Windows, width: int) -> None:
    page = windows.open("/", viewport={"width": width, "height": 800})
    for path in PAGES:
        page.goto(path)
        seen = page.evaluate("document.documentElement.scrollWidth")
        assert seen <= width, (path, seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(windows: Windows, scheme: str) -> None:
    page = windows.open("/", color_scheme=scheme)
    for path in PAGES:
        page.goto(path)
        found = Axe().run(page).response["violations"]
        told = [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found]
        assert told == [], (path, json.dumps(told, indent=1))


def test_axe_finds_nothing_on_a_telephone(windows: Windows) -> None:
    page = windows.open("/", viewport={"width": 360, "height": 740})
    for path in (PAIR, TOOL, "/"):
        page.goto(path)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:160]) for one in found] == [], path


def test_the_dark_has_dark_paper(windows: Windows) -> None:
    page = windows.open(PAIR, color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 18)"


def test_the_font_is_the_sites_own(windows: Windows) -> None:
    page = windows.open(PAIR)
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('16px Newsreader'))")


def test_paper_has_the_record_and_no_controls(windows: Windows) -> None:
    page = windows.open(PAIR)
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", name="Decision table")).to_be_visible()
    expect(page.locator("form.vote").first).to_be_hidden()
    expect(page.locator(".top nav")).to_be_hidden()


def test_a_compare_page_is_one_html_and_one_stylesheet_under_50_kb(windows: Windows) -> None:
    page = windows.open("/")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(PAIR, wait_until="load")
    kinds = [answer.request.resource_type for answer in answers]
    [document] = [answer for answer in answers if answer.request.resource_type == "document"]
    assert len(document.body()) < 50_000
    assert kinds.count("stylesheet") <= 1  # the home page before has brought it already


def test_the_two_tools_of_the_reference_page_are_judged_and_their_conflicts_stand_side_by_side(
    windows: Windows,
) -> None:
    page = windows.open(PAIR)
    licence = page.locator(".clash", has=page.get_by_role("heading", name="Licence, Mistral 22B"))
    expect(licence).to_contain_text("Apache 2.0")
    expect(licence).to_contain_text("MRL-0.1")
    left, right = (licence.locator(".side2").nth(number).bounding_box() for number in (0, 1))
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    expect(page.locator(".level")).to_contain_text("Level: tone reader")
