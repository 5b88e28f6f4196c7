"""What a reader does: vote, take it back, see another's vote, bookmark, subscribe, by mouse, keyboard or plain form."""

import re

import pytest
from playwright.sync_api import Page, expect

from shipjury_standalone.driven import Driven

from .conftest import PAIR, TOOL, Windows

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]


def pressed(page: Page, name: str) -> str | None:
    """Whether the first form's button of that name is pressed."""
    return page.locator("form.vote").first.get_by_role("button", name=name).get_attribute("aria-pressed")


def test_a_vote_shows_at_once_reaches_a_second_window_and_can_be_taken_back(windows: Windows) -> None:
    reader, witness = windows.open(TOOL), windows.open(TOOL)
    counted = witness.locator("[data-tally]")
    before = counted.inner_text()
    form = reader.locator("form.vote")
    form.get_by_role("button", name="Ship").click()
    expect(form.get_by_role("button", name="Ship")).to_have_attribute("aria-pressed", "true")
    expect(form.get_by_role("status")).to_contain_text("Your vote: ship.")
    expect(counted).not_to_have_text(before, timeout=30_000)
    after = counted.inner_text()
    form.get_by_role("button", name="Take back").click()
    expect(form.get_by_role("status")).to_contain_text("taken back")
    expect(form.get_by_role("button", name="Ship")).to_have_attribute("aria-pressed", "false")
    expect(counted).not_to_have_text(after, timeout=30_000)
    expect(counted).to_have_text(re.compile(re.escape(before.split(".")[0])), timeout=30_000)


def test_a_vote_is_still_there_after_a_reload_and_changes_sides(windows: Windows) -> None:
    page = windows.open("/tools/mistral-3b")
    form = page.locator("form.vote")
    form.get_by_role("button", name="Ship").click()
    expect(form.get_by_role("button", name="Ship")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(form.get_by_role("button", name="Ship")).to_have_attribute("aria-pressed", "true")
    form.get_by_role("button", name="Skip").click()
    expect(form.get_by_role("button", name="Skip")).to_have_attribute("aria-pressed", "true")
    expect(form.get_by_role("button", name="Ship")).to_have_attribute("aria-pressed", "false")


def test_a_bookmark_is_kept_and_listed_without_an_account(windows: Windows) -> None:
    page = windows.open(PAIR)
    expect(page.locator("[data-bookmarks]")).to_contain_text("None yet")
    button = page.locator("form.vote").first.get_by_role("button", name="Bookmark")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-bookmarks]").get_by_role("link").first).to_have_text(
        "Hugging Face Inference Providers Hub"
    )
    page.goto("/bookmarks")
    expect(page.get_by_role("link", name="Hugging Face Inference Providers Hub")).to_be_visible()
    page.get_by_role("button", name="Take off Hub").click()
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_a_reader_subscribes_and_gets_a_mail_to_confirm(windows: Windows, product: Driven) -> None:
    page = windows.open(PAIR)
    page.get_by_label("E-mail address").fill("reader@example.org")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Look into your mailbox")


def test_everything_can_be_done_by_keyboard_alone(windows: Windows) -> None:
    page = windows.open("/tools/mistral-4b")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the record")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "skip":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    expect(page.locator("form.vote").get_by_role("button", name="Skip")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("form.vote").get_by_role("status")).to_contain_text("taken back")


def test_reviewers_open_by_keyboard(windows: Windows) -> None:
    page = windows.open(PAIR)
    skeptic = page.locator("details.rev").nth(1)
    skeptic.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(skeptic).to_have_attribute("open", "")


def test_a_vote_and_a_bookmark_work_without_javascript(windows: Windows) -> None:
    page = windows.open(PAIR, java_script_enabled=False)
    form = page.locator("form.vote").nth(1)
    form.get_by_role("button", name="Skip").click()
    assert page.url.endswith(PAIR)
    form.get_by_role("button", name="Take back").click()
    assert page.url.endswith(PAIR)
    form.get_by_role("button", name="Bookmark").click()
    assert page.url.endswith("/bookmarks")
    expect(page.get_by_role("link", name="Mistral 3 Small (22B)")).to_be_visible()


def test_two_tools_are_chosen_and_compared_without_javascript(windows: Windows) -> None:
    page = windows.open("/compare", java_script_enabled=False)
    page.get_by_label("One tool").select_option("mistral-3b")
    page.get_by_label("The other").select_option("hf-inference-providers-marketplace")
    page.get_by_role("button", name="Compare").click()
    assert page.url.endswith("/compare/hf-inference-providers-marketplace-vs-mistral-3b")
    expect(page.get_by_role("heading", name="Which one should you ship with?")).to_be_visible()
