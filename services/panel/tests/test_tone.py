"""The tone reader: what it asks, how it compares two words, and what a constant means."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel.domain.statistics import Sigmoid
from panel.domain.tone import (
    FRAMES,
    REWORDED,
    Constants,
    Scale,
    TokenChance,
    difference,
    fit_scale,
    prompt_hash,
    sentence,
    stance,
)

ADVANTAGE = FRAMES[0]
logprob = st.floats(-30, -0.01)


def test_the_three_frames_are_those_that_were_measured() -> None:
    assert [frame.prompt("It runs offline.") for frame in FRAMES] == [
        "About a software tool: It runs offline. This is a big",
        "About a software tool: It runs offline. For its users, this is",
        "About a software tool: It runs offline. This makes users feel",
    ]
    assert [(frame.good, frame.bad) for frame in FRAMES] == [
        ("advantage", "disadvantage"),
        ("good", "bad"),
        ("happy", "frustrated"),
    ]


def test_a_statement_is_one_line_that_ends_like_a_sentence() -> None:
    assert sentence("It runs\n  offline") == "It runs offline."
    assert sentence("Does it run?") == "Does it run?"


def test_braces_in_a_statement_are_text() -> None:
    assert "{fact} and {0}." in ADVANTAGE.prompt("{fact} and {0}")


def test_case_and_leading_space_count_as_the_same_word() -> None:
    chances = [TokenChance(" advantage", -2.0), TokenChance("Advantage", -2.0), TokenChance(" disadvantage", -2.0)]
    assert difference(ADVANTAGE, chances) == pytest.approx(math.log(2))


def test_a_missing_word_gets_the_last_log_probability_minus_one() -> None:
    chances = [TokenChance(" advantage", -2.0), TokenChance(" thing", -9.0)]
    assert difference(ADVANTAGE, chances) == pytest.approx(-2.0 - (-9.0 - 1))


def test_two_missing_words_are_level() -> None:
    assert difference(ADVANTAGE, [TokenChance(" thing", -1.0)]) == 0


def test_no_log_probabilities_are_no_reading() -> None:
    with pytest.raises(ValueError, match="no log-probabilities"):
        difference(ADVANTAGE, [])


@given(logprob, logprob)
def test_a_likelier_good_word_is_a_better_tone(good: float, bad: float) -> None:
    chances = [TokenChance(" good", good), TokenChance(" bad", bad)]
    assert difference(FRAMES[1], chances) == pytest.approx(good - bad)


def test_a_tone_is_the_mean_of_the_frames_in_deviations_from_their_medians() -> None:
    constants = Constants((Scale(1.0, 2.0), Scale(0.0, 1.0), Scale(-1.0, 4.0)), Sigmoid(1.0, 0.0))
    assert constants.tone([3.0, 1.0, 3.0]) == pytest.approx((1 + 1 + 1) / 3)
    assert constants.probability([1.0, 0.0, -1.0]) == pytest.approx(0.5)


def test_a_scale_is_median_and_standard_deviation() -> None:
    assert fit_scale([1.0, 2.0, 3.0, 10.0]) == Scale(2.5, math.sqrt(12.5))


def test_a_model_that_answers_every_fact_alike_has_no_scale() -> None:
    with pytest.raises(ValueError, match="alike"):
        fit_scale([1.0, 1.0])


def test_a_stance_is_clear_from_eight_to_two_tenths() -> None:
    assert [stance(p) for p in (1.0, 0.8, 0.79, 0.21, 0.2, 0.0)] == [
        "for", "for", "unclear", "unclear", "against", "against",
    ]  # fmt: skip


def test_other_words_are_another_prompt() -> None:
    assert prompt_hash(FRAMES) != prompt_hash(REWORDED)
    assert prompt_hash(FRAMES) != prompt_hash(FRAMES, "a persona")
