"""Agreement: against the published formulas, and alpha against the `krippendorff` package."""

from collections.abc import Sequence

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel.domain.agreement import effective_votes, gwet_ac1, krippendorff_alpha, mean_correlation

verdicts = st.sampled_from(["ship", "skip", "undecided"])
panels = st.lists(st.lists(verdicts, min_size=1, max_size=5), min_size=1, max_size=12)


@given(panels)
def test_alpha_is_that_of_the_krippendorff_package(units: Sequence[Sequence[str]]) -> None:
    ours = krippendorff_alpha(units)
    codes = {"ship": 0, "skip": 1, "undecided": 2}
    table = np.full((5, len(units)), np.nan)
    for column, unit in enumerate(units):
        for row, vote in enumerate(unit):
            table[row, column] = codes[vote]
    if ours is None:
        paired = [unit for unit in units if len(unit) >= 2]
        assert len({vote for unit in paired for vote in unit}) <= 1
        return
    theirs = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal")
    assert ours == pytest.approx(theirs)


def test_ac1_of_two_raters_is_gwets_worked_example() -> None:
    # Gwet 2008, table 1: 118 both yes, 5 and 2 apart, 0 both no: observed .944, by chance .0534 x 2 / 1.
    units = [["y", "y"]] * 118 + [["y", "n"]] * 5 + [["n", "y"]] * 2
    share = (118 * 2 + 7) / 250
    chance = 2 * share * (1 - share)
    assert gwet_ac1(units) == pytest.approx((118 / 125 - chance) / (1 - chance))


@given(panels)
def test_ac1_is_one_exactly_where_everybody_agrees(units: Sequence[Sequence[str]]) -> None:
    paired = [unit for unit in units if len(unit) >= 2]
    found = gwet_ac1(units)
    if not paired:
        assert found is None
    else:
        assert (found == pytest.approx(1.0)) is all(len(set(unit)) == 1 for unit in paired)


def test_a_panel_that_speaks_with_one_voice_is_one_vote() -> None:
    assert effective_votes(5, 0.96) == 1.0
    assert effective_votes(5, None) == 1.0


def test_independent_reviewers_are_as_many_votes_as_they_are() -> None:
    assert effective_votes(5, 0.0) == 5
    assert effective_votes(5, -0.4) == 5


@given(st.integers(1, 20), st.floats(-1, 1))
def test_effective_votes_lie_between_one_and_the_number_of_reviewers(raters: int, correlation: float) -> None:
    assert 1 <= effective_votes(raters, correlation) <= raters


@given(st.floats(0, 0.89), st.floats(0, 0.89))
def test_more_correlation_is_fewer_votes(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert effective_votes(5, high) <= effective_votes(5, low)


def test_mean_correlation_is_over_every_pair() -> None:
    assert mean_correlation([[1, 2, 3], [2, 4, 6], [3, 2, 1]]) == pytest.approx((1 - 1 - 1) / 3)
