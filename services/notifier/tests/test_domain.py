"""Digests, tokens and deliveries, without any framework."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.delivery import Accepted, Deferred, Refused, outcome_of_reply, pause_after
from notifier.domain.digest import Change, Preferences, Standing, compose, for_reader
from notifier.domain.tokens import ExpiredToken, InvalidToken, Token, read, sign
from notifier.schedule import last_due, next_due

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEY = b"k" * 32
SOMEBODY = UUID(int=7)


def change(number: int = 1, **changes: object) -> Change:
    fields: dict[str, object] = {
        "id": number,
        "kind": "verdict",
        "tool_id": f"tool-{number}",
        "slug": f"tool-{number}",
        "name": f"Tool {number}",
        "category": "LLM gateways",
        "verdict": "ship",
        "score": 66.0,
        "previous": None,
        "why": "",
        "summary": "4 ship and 0 skip.",
        "level": "tone_reader",
        "issued_at": NOON,
    }
    return Change(**(fields | changes))  # type: ignore[arg-type]


def standing(number: int = 1, **changes: object) -> Standing:
    fields: dict[str, object] = {
        "tool_id": f"tool-{number}",
        "slug": f"tool-{number}",
        "name": f"Tool {number}",
        "category": "LLM gateways",
        "verdict": "ship",
        "panel_share": 1.0,
        "ship": 0,
        "skip": 0,
    }
    return Standing(**(fields | changes))  # type: ignore[arg-type]


def test_nothing_new_is_no_issue() -> None:
    assert compose([], [standing(ship=2, skip=20)]) == ()


def test_a_reversal_comes_before_new_verdicts() -> None:
    items = compose([change(1), change(2, previous="skip", why="A fact was added.")], [])
    assert [(item.kind, item.slug) for item in items] == [("flip", "tool-2"), ("new_verdict", "tool-1")]
    assert items[0].text == "Was skip, now ship. A fact was added."


def test_there_and_back_again_is_no_reversal() -> None:
    turns = [
        change(1, tool_id="t", previous="ship", verdict="skip"),
        change(2, tool_id="t", previous="skip", verdict="ship"),
    ]
    (item,) = compose(turns, [])
    assert item.kind == "new_verdict"


def test_two_changes_of_one_tool_tell_of_the_whole_way() -> None:
    turns = [
        change(1, tool_id="t", previous="ship", verdict="undecided"),
        change(2, tool_id="t", previous="undecided", verdict="skip", why="It lost a fact."),
    ]
    (item,) = compose(turns, [])
    assert item.text == "Was ship, now skip. It lost a fact."


def test_panel_against_community_needs_votes_and_a_gap() -> None:
    few = standing(1, ship=0, skip=9)
    near = standing(2, ship=9, skip=1)
    apart = standing(3, ship=1, skip=19)
    items = compose([change(9)], [few, near, apart])
    assert [item.slug for item in items if item.kind == "panel_against_community"] == ["tool-3"]


def test_the_most_contested_is_nearest_to_half() -> None:
    items = compose([change(9)], [standing(1, ship=5, skip=5, panel_share=0.5), standing(2, ship=10, skip=0)])
    assert [item.slug for item in items if item.kind == "most_contested"] == ["tool-1"]


def test_a_reader_gets_what_was_asked_for() -> None:
    items = compose([change(1), change(2, category="Coding assistants"), change(3, category="Fine-tuning")], [])
    wanted = Preferences(categories=frozenset({"Coding assistants"}), tools=frozenset({"tool-3"}))
    assert {item.slug for item in for_reader(items, wanted)} == {"tool-2", "tool-3"}
    assert for_reader(items, Preferences()) == items


def test_a_token_says_who_and_what_for() -> None:
    token = Token("unsubscribe", SOMEBODY, NOON)
    assert read(KEY, sign(KEY, token), "unsubscribe", NOON) == token


@given(position=st.integers(min_value=0, max_value=59), bit=st.integers(min_value=0, max_value=5))
def test_a_changed_token_is_refused(position: int, bit: int) -> None:
    text = sign(KEY, Token("unsubscribe", SOMEBODY, NOON))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(text[position % (len(text) - 1)]) ^ (1 << bit)]
    forged = text[: position % (len(text) - 1)] + other + text[position % (len(text) - 1) + 1 :]
    with pytest.raises(InvalidToken):
        read(KEY, forged, "unsubscribe", NOON)


@given(st.text())
def test_no_text_is_taken_for_a_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        read(KEY, text, "confirm", NOON)


def test_a_token_for_one_thing_does_not_do_another() -> None:
    with pytest.raises(InvalidToken):
        read(KEY, sign(KEY, Token("confirm", SOMEBODY, NOON)), "unsubscribe", NOON)


def test_a_confirmation_expires_and_unsubscribing_never_does() -> None:
    later = NOON + timedelta(days=1000)
    with pytest.raises(ExpiredToken):
        read(KEY, sign(KEY, Token("confirm", SOMEBODY, NOON)), "confirm", later)
    assert read(KEY, sign(KEY, Token("unsubscribe", SOMEBODY, NOON)), "unsubscribe", later)


@pytest.mark.parametrize(
    ("code", "about_recipient", "expected"),
    [
        (250, True, Accepted),
        (451, True, Deferred),
        (421, False, Deferred),
        (550, True, Refused),
        (554, False, Deferred),
    ],
)
def test_a_reply_means_what_its_stage_says(code: int, about_recipient: bool, expected: type) -> None:
    assert isinstance(outcome_of_reply(code, "text", about_recipient=about_recipient), expected)


def test_pauses_double_up_to_four_hours() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, 100)]
    assert pauses[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(hours=4)


# The schedule: Berlin skips 02:30 on 2026-03-29 and has it twice on 2026-10-25.


def test_the_hour_stays_the_same_on_the_clock_across_daylight_saving() -> None:
    before = next_due("0 8 * * 1", "Europe/Berlin", datetime(2026, 3, 20, tzinfo=UTC))
    after = next_due("0 8 * * 1", "Europe/Berlin", before)
    assert (before, after) == (datetime(2026, 3, 23, 7, tzinfo=UTC), datetime(2026, 3, 30, 6, tzinfo=UTC))


def test_an_hour_that_comes_twice_is_due_once() -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    dues = set()
    for minutes in range(0, 48 * 60, 7):
        dues.add(last_due("30 2 * * *", "Europe/Berlin", start + timedelta(minutes=minutes)))
    assert len([due for due in dues if due.date().isoformat() == "2026-10-25"]) == 1


def test_an_hour_that_is_skipped_is_due_all_the_same() -> None:
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    dues = {last_due("30 2 * * *", "Europe/Berlin", start + timedelta(minutes=m)) for m in range(0, 48 * 60, 7)}
    assert len([due for due in dues if due.date().isoformat() == "2026-03-29"]) == 1


@given(
    moment=st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 12, 31)),  # noqa: DTZ001
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_the_last_due_time_is_never_in_the_future_and_nothing_lies_between(moment: datetime, zone: str) -> None:
    now = moment.replace(tzinfo=UTC)
    due = last_due("0 8 * * 1", zone, now)
    assert due <= now
    assert next_due("0 8 * * 1", zone, due) > now


def test_the_due_moment_itself_is_due() -> None:
    monday = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
    assert last_due("0 8 * * 1", "UTC", monday) == monday
