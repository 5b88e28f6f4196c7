"""Comparisons: a difference with its interval, no winner across zero, and the same answer in both orders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel.domain.comparison import Scores, compare, difference_interval, pairing
from panel.domain.statistics import Range


def scores(low: float, score: float, high: float) -> Scores:
    return Scores(score, Range(low, high), "for-1", "against-1")


points = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100)).map(sorted)


def test_a_clear_lead_names_a_winner_and_its_facts() -> None:
    found = compare(scores(75, 80, 85), scores(35, 40, 45), "Hub", "Mistral")
    assert found.winner == "a"
    assert found.difference == 40
    assert found.explanation == "Hub, by 40 points (33 to 47)."
    assert found.fact_ids == ("for-1", "against-1")


def test_across_zero_there_is_no_winner() -> None:
    found = compare(scores(50, 60, 70), scores(48, 58, 68), "Hub", "Mistral")
    assert found.winner == "none"
    assert found.explanation == "No winner: Hub leads by 2 points, and the interval crosses zero."


def test_without_a_score_on_one_side_it_abstains() -> None:
    found = compare(scores(50, 60, 70), Scores(None, None), "Hub", "Mistral")
    assert (found.winner, found.difference) == ("abstain", None)
    assert found.explanation == "Too little evidence on Mistral to say."


@given(points, points)
def test_both_orders_name_the_same_winner(one: list[float], other: list[float]) -> None:
    there = compare(scores(*one), scores(*other), "x", "y")
    back = compare(scores(*other), scores(*one), "y", "x")
    swapped = {"a": "b", "b": "a", "none": "none", "abstain": "abstain"}
    assert back.winner == swapped[there.winner]
    assert back.difference == pytest.approx(-(there.difference or 0))


@given(points, points)
def test_the_interval_of_a_difference_holds_it(one: list[float], other: list[float]) -> None:
    found = difference_interval(one[1], Range(one[0], one[2]), other[1], Range(other[0], other[2]))
    assert found.low <= one[1] - other[1] + 1e-9
    assert found.high >= one[1] - other[1] - 1e-9


def test_a_pairing_has_one_name() -> None:
    assert pairing("b", "a") == pairing("a", "b") == "a:b"
