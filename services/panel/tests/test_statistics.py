"""The statistics, against their definitions and against properties that must hold for any input."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel.domain.statistics import (
    Range,
    Sigmoid,
    auc,
    auc_interval,
    bootstrap,
    fit_platt,
    pearson,
    percentile,
    weighted_mean,
    wilson,
)

finite = st.floats(-50, 50)
some = st.lists(finite, min_size=1, max_size=30)


def test_one_ship_of_one_vote_spans_21_to_100_percent() -> None:
    found = wilson(1.0, 1)
    assert found.low == pytest.approx(0.2065, abs=1e-4)
    assert found.high == pytest.approx(1.0)


def test_wilson_of_ten_of_twenty_is_the_textbook_interval() -> None:
    found = wilson(0.5, 20)
    assert (found.low, found.high) == (pytest.approx(0.2993, abs=1e-4), pytest.approx(0.7007, abs=1e-4))


@given(st.floats(0, 1), st.floats(0.1, 1e6))
def test_wilson_holds_the_share_and_stays_within_0_and_1(share: float, trials: float) -> None:
    found = wilson(share, trials)
    assert 0 <= found.low <= share + 1e-9
    assert share - 1e-9 <= found.high <= 1


@given(st.floats(0, 1), st.floats(0.5, 1000))
def test_wilson_narrows_with_more_trials(share: float, trials: float) -> None:
    few, many = wilson(share, trials), wilson(share, trials * 4)
    assert many.high - many.low <= few.high - few.low + 1e-12


def test_wilson_refuses_no_trial() -> None:
    with pytest.raises(ValueError, match="no trial"):
        wilson(0.5, 0)


def test_auc_counts_pairs_in_the_right_order_and_ties_half() -> None:
    assert auc([3, 1], [2, 1]) == (1 + 1 + 0 + 0.5) / 4


@given(some, some)
def test_auc_turns_around_when_the_classes_are_swapped(positive: list[float], negative: list[float]) -> None:
    assert auc(positive, negative) == pytest.approx(1 - auc(negative, positive))


@given(some, some)
def test_auc_does_not_change_under_a_rising_transformation(positive: list[float], negative: list[float]) -> None:
    def squeeze(values: list[float]) -> list[float]:
        return [value * 2 + 7 for value in map(round, values)]

    assert auc(squeeze(positive), squeeze(negative)) == auc(list(map(round, positive)), list(map(round, negative)))


@given(some, some)
def test_the_interval_of_an_auc_holds_it(positive: list[float], negative: list[float]) -> None:
    found = auc_interval(positive, negative)
    assert 0 <= found.low <= auc(positive, negative) <= found.high <= 1


def test_delong_agrees_with_a_bootstrap_on_a_sample() -> None:
    draw = Random(1)
    positive = [draw.gauss(1, 1) for _ in range(80)]
    negative = [draw.gauss(0, 1) for _ in range(80)]
    resampled = sorted(auc(draw.choices(positive, k=80), draw.choices(negative, k=80)) for _ in range(300))
    found = auc_interval(positive, negative)
    assert found.low == pytest.approx(percentile(resampled, 0.025), abs=0.03)
    assert found.high == pytest.approx(percentile(resampled, 0.975), abs=0.03)


def test_platt_finds_the_curve_that_the_labels_were_drawn_from() -> None:
    draw, truth = Random(2), Sigmoid(2.0, -0.5)
    points = [draw.uniform(-3, 3) for _ in range(6000)]
    labels = [draw.random() < truth(value) for value in points]
    found = fit_platt(
        [value for value, label in zip(points, labels, strict=True) if label],
        [value for value, label in zip(points, labels, strict=True) if not label],
    )
    assert found.slope == pytest.approx(2.0, abs=0.15)
    assert found.intercept == pytest.approx(-0.5, abs=0.15)


@given(st.lists(st.floats(0.5, 50), min_size=1, max_size=20), st.lists(st.floats(-50, -0.5), min_size=1, max_size=20))
def test_platt_stays_finite_where_the_classes_separate(positive: list[float], negative: list[float]) -> None:
    found = fit_platt(positive, negative)
    assert math.isfinite(found.slope)
    assert math.isfinite(found.intercept)
    assert found.slope > 0


@given(st.floats(-1e6, 1e6))
def test_the_curve_never_overflows_and_stays_a_probability(value: float) -> None:
    assert 0 <= Sigmoid(3.0, 1.0)(value) <= 1


@given(st.lists(st.tuples(finite, finite), min_size=3, max_size=30))
def test_correlation_is_symmetric_and_bounded(pairs: list[tuple[float, float]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = pearson(one, other)
    assert found == pearson(other, one) or math.isclose(found or 0, pearson(other, one) or 0, abs_tol=1e-9)
    assert found is None or -1 <= found <= 1


def test_a_rater_that_never_varies_correlates_with_nobody() -> None:
    assert pearson([1, 1, 1], [1, 2, 3]) is None


@given(st.lists(st.tuples(finite, st.floats(0.01, 10)), min_size=1))
def test_a_weighted_mean_lies_between_its_values(pairs: list[tuple[float, float]]) -> None:
    values = [value for value, _ in pairs]
    found = weighted_mean(values, [weight for _, weight in pairs])
    assert min(values) - 1e-6 <= found <= max(values) + 1e-6


def test_nothing_that_weighs_has_no_mean() -> None:
    with pytest.raises(ValueError, match="weighs"):
        weighted_mean([1.0], [0.0])


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [1.0, 5.0, 9.0, 2.0]

    def mean(positions: object) -> float:
        return sum(values[position] for position in positions) / 4  # type: ignore[attr-defined]

    assert bootstrap(4, mean, 7) == bootstrap(4, mean, 7)
    assert isinstance(bootstrap(4, mean, 7), Range)


def test_a_single_item_has_no_interval() -> None:
    assert bootstrap(1, lambda _: 1.0, 7) is None
