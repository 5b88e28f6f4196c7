"""The statistics that verdicts and exams are published with, each with the source of its formula."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Range:
    """A 95 % interval, in the unit of its figure."""

    low: float
    high: float


def wilson(share: float, trials: float) -> Range:
    """The Wilson score interval of a share seen in ``trials`` (may be fractional: effective votes).

    Wilson 1927, without continuity correction. Raises ``ValueError`` where there was no trial.
    """
    if trials <= 0 or not 0 <= share <= 1:
        raise ValueError("a share between 0 and 1 of more than no trial is needed")
    square = Z95 * Z95
    centre = share + square / (2 * trials)
    spread = Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    whole = 1 + square / trials
    return Range(max(0.0, (centre - spread) / whole), min(1.0, (centre + spread) / whole))


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Area under the ROC curve: how often a positive outranks a negative, ties counting half (Mann-Whitney)."""
    if not positive or not negative:
        raise ValueError("AUC needs positives and negatives")
    wins = sum((one > other) + 0.5 * (one == other) for one in positive for other in negative)
    return wins / (len(positive) * len(negative))


def auc_interval(positive: Sequence[float], negative: Sequence[float]) -> Range:
    """The 95 % interval of an AUC by DeLong, DeLong and Clarke-Pearson 1988.

    It takes each fact as independent; facts of one dossier are not quite, so it is a little too narrow.
    """
    area = auc(positive, negative)
    of_positive = [auc([one], negative) for one in positive]
    of_negative = [auc(positive, [other]) for other in negative]
    error = math.sqrt(_variance(of_positive) / len(positive) + _variance(of_negative) / len(negative))
    return Range(max(0.0, area - Z95 * error), min(1.0, area + Z95 * error))


def _variance(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def deviation(values: Sequence[float]) -> float:
    """Standard deviation over all values (population)."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def pearson(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's correlation; ``None`` where one side does not vary or there are fewer than three pairs."""
    if len(one) != len(other) or len(one) < 3:
        return None
    mean_one, mean_other = math.fsum(one) / len(one), math.fsum(other) / len(other)
    across = math.fsum((a - mean_one) * (b - mean_other) for a, b in zip(one, other, strict=True))
    spread = math.sqrt(math.fsum((a - mean_one) ** 2 for a in one) * math.fsum((b - mean_other) ** 2 for b in other))
    return max(-1.0, min(1.0, across / spread)) if spread > 0 else None


@dataclass(frozen=True)
class Sigmoid:
    """p = 1 / (1 + exp(-(slope x + intercept)))."""

    slope: float
    intercept: float

    def __call__(self, value: float) -> float:
        """The probability that belongs to ``value``."""
        exponent = self.slope * value + self.intercept
        if exponent >= 0:
            return 1 / (1 + math.exp(-exponent))
        growth = math.exp(exponent)
        return growth / (1 + growth)


def fit_platt(positive: Sequence[float], negative: Sequence[float]) -> Sigmoid:
    """Platt scaling: logistic regression of the label on one value, with Platt's (1999) smoothed targets.

    Newton's method with step halving, after Lin, Lin and Weng 2007. The smoothed targets keep it finite where the
    classes separate.
    """
    if not positive or not negative:
        raise ValueError("fitting needs positives and negatives")
    high, low = (len(positive) + 1) / (len(positive) + 2), 1 / (len(negative) + 2)
    points = [(value, high) for value in positive] + [(value, low) for value in negative]
    curve = Sigmoid(0.0, math.log((len(positive) + 1) / (len(negative) + 1)))
    loss = _loss(curve, points)
    for _ in range(100):
        by_slope = by_intercept = ss = si = ii = 0.0
        for value, target in points:
            p = curve(value)
            by_slope += value * (p - target)
            by_intercept += p - target
            weight = p * (1 - p)
            ss, si, ii = ss + value * value * weight, si + value * weight, ii + weight
        ss, ii = ss + 1e-12, ii + 1e-12
        if abs(by_slope) < 1e-9 and abs(by_intercept) < 1e-9:
            break
        determinant = ss * ii - si * si
        step_slope = -(ii * by_slope - si * by_intercept) / determinant
        step_intercept = -(ss * by_intercept - si * by_slope) / determinant
        size = 1.0
        while size > 1e-10:
            tried = Sigmoid(curve.slope + size * step_slope, curve.intercept + size * step_intercept)
            tried_loss = _loss(tried, points)
            if tried_loss <= loss:
                curve, loss = tried, tried_loss
                break
            size /= 2
        else:
            break
    return curve


def _loss(curve: Sigmoid, points: Sequence[tuple[float, float]]) -> float:
    total = 0.0
    for value, target in points:
        exponent = curve.slope * value + curve.intercept
        # log(1 + exp(x)) - target x, written so that nothing overflows.
        total += max(exponent, 0.0) + math.log1p(math.exp(-abs(exponent))) - target * exponent
    return total


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """The mean of ``values`` by ``weights``. Raises ``ValueError`` where the weights sum to nothing."""
    whole = math.fsum(weights)
    if whole <= 0:
        raise ValueError("nothing weighs anything")
    return math.fsum(value * weight for value, weight in zip(values, weights, strict=True)) / whole


def bootstrap(
    count: int, figure: Callable[[Sequence[int]], float | None], seed: int, resamples: int = 1000
) -> Range | None:
    """Percentile bootstrap (Efron 1979): the 2.5 and 97.5 percentiles of ``figure`` over resampled positions.

    ``figure`` gets positions drawn with replacement from ``range(count)`` and may answer ``None`` for a sample that
    says nothing. ``None`` where fewer than two items or no usable sample is there. The same seed gives the same range.
    """
    if count < 2:
        return None
    draw = Random(seed)
    positions = range(count)
    figures = sorted(value for _ in range(resamples) if (value := figure(draw.choices(positions, k=count))) is not None)
    if not figures:
        return None
    return Range(percentile(figures, 0.025), percentile(figures, 0.975))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The percentile of ordered values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
