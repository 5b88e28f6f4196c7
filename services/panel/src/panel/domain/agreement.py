"""How far reviewers agree, and how many independent votes they amount to."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from .statistics import pearson

ONE_VOTE = 0.9
"""Mean correlation from which a panel counts as one vote: its scores are one opinion told again."""


def gwet_ac1(units: Sequence[Sequence[str]]) -> float | None:
    """Gwet's AC1 (2008) over units that each got two or more nominal ratings; ``None`` without such a unit.

    Chance agreement is sum(pi (1 - pi)) / (q - 1) over the q categories that were used; with a single category in
    use, agreement is complete and AC1 is 1.
    """
    rated = [Counter(unit) for unit in units if len(unit) >= 2]
    if not rated:
        return None
    categories = sorted({category for unit in rated for category in unit})
    if len(categories) == 1:
        return 1.0
    observed = fmean(_pairs_agreeing(unit) for unit in rated)
    prevalence = [fmean(unit[category] / unit.total() for unit in rated) for category in categories]
    by_chance = sum(share * (1 - share) for share in prevalence) / (len(categories) - 1)
    return (observed - by_chance) / (1 - by_chance)


def krippendorff_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Krippendorff's alpha, nominal, with missing ratings (Krippendorff 2011).

    ``None`` where nothing could disagree: no unit with two ratings, or one category throughout.
    """
    rated = [Counter(unit) for unit in units if len(unit) >= 2]
    total: Counter[str] = Counter()
    disagreeing = 0.0
    for unit in rated:
        total.update(unit)
        size = unit.total()
        disagreeing += sum(count * (size - count) for count in unit.values()) / (size - 1)
    values = total.total()
    expected = sum(count * (values - count) for count in total.values())
    if not expected:
        return None
    return 1 - (values - 1) * disagreeing / expected


def _pairs_agreeing(unit: Counter[str]) -> float:
    size = unit.total()
    return sum(count * (count - 1) for count in unit.values()) / (size * (size - 1))


def mean_correlation(scores: Sequence[Sequence[float]]) -> float | None:
    """Mean Pearson correlation of every two raters; ``scores`` holds one row a rater, one column a dossier."""
    found = [
        value
        for first, one in enumerate(scores)
        for other in scores[first + 1 :]
        if (value := pearson(one, other)) is not None
    ]
    return fmean(found) if found else None


def effective_votes(raters: int, correlation: float | None) -> float:
    """Number of independent votes that ``raters`` amount to: k / (1 + (k - 1) r) (Kish's design effect, 1965).

    From r = .9 on it is one vote. An unknown correlation counts as one vote too: independence is to be shown.
    """
    if raters <= 0:
        return 0.0
    if correlation is None or correlation >= ONE_VOTE:
        return 1.0
    return raters / (1 + (raters - 1) * max(0.0, correlation))
