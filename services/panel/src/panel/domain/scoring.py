"""From readings to a score, its interval and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from .statistics import Range, bootstrap, weighted_mean
from .tone import Reading

Verdict = Literal["ship", "skip", "undecided", "abstain"]

FEWEST = 5
"""Facts that must count before anybody decides."""


@dataclass(frozen=True)
class Edges:
    """Ship from the upper one, skip below the lower one, undecided between; points of 100."""

    skip_below: float
    ship_at: float

    def verdict(self, score: float) -> Verdict:
        """What a score says."""
        if score >= self.ship_at:
            return "ship"
        return "skip" if score < self.skip_below else "undecided"


@dataclass(frozen=True)
class Scored:
    """A score of 0 to 100 with its interval, or why there is none."""

    score: float | None
    interval: Range | None
    verdict: Verdict
    note: str | None = None


def too_thin(readings: Sequence[Reading]) -> str | None:
    """Why nobody can decide on these readings; ``None`` where one can."""
    if len(readings) < FEWEST:
        return f"Only {len(readings)} of at least {FEWEST} facts count."
    if not any(reading.clear for reading in readings):
        return "No fact speaks clearly for or against it."
    return None


def score(readings: Sequence[Reading], weights: Sequence[float]) -> float:
    """100 times the weighted mean of the probabilities."""
    return 100 * weighted_mean([reading.probability for reading in readings], weights)


def scored(readings: Sequence[Reading], weights: Sequence[float], edges: Edges, seed: int) -> Scored:
    """Score, interval (bootstrap over the facts) and verdict; abstains where the evidence is too thin."""
    thin = too_thin(readings)
    if thin:
        return Scored(None, None, "abstain", thin)
    value = score(readings, weights)
    return Scored(value, interval(readings, [weights], seed), edges.verdict(value))


def interval(readings: Sequence[Reading], weights: Sequence[Sequence[float]], seed: int) -> Range | None:
    """The interval of the mean of several reviewers' scores: which facts the record happens to hold is the chance.

    Each row of ``weights`` is a reviewer; all see the same resampled facts, as they see the same facts.
    """
    points = [100 * reading.probability for reading in readings]

    def mean_score(positions: Sequence[int]) -> float:
        values = [points[position] for position in positions]
        means = [weighted_mean(values, [row[position] for position in positions]) for row in weights]
        return sum(means) / len(means)

    return bootstrap(len(readings), mean_score, seed)


def seed_of(*parts: str) -> int:
    """A seed that follows from what is judged, so that a run can be redone to the same figures."""
    return int.from_bytes(sha256("|".join(parts).encode()).digest()[:8])


def by_fact(readings: Sequence[Reading]) -> Mapping[str, Reading]:
    """Readings by fact id."""
    return {reading.fact_id: reading for reading in readings}
