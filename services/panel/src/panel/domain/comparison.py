"""Which of two tools to ship with: differences of scores, whose order plays no part."""

import math
from dataclasses import dataclass
from typing import Literal

from .statistics import Range

Winner = Literal["a", "b", "none", "abstain"]


@dataclass(frozen=True)
class Scores:
    """A tool's score on one question, as its verdict gives it."""

    score: float | None
    interval: Range | None
    strongest: str | None = None
    weakest: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The answer: a minus b with its interval, and who leads where that does not cross zero."""

    winner: Winner
    difference: float | None
    interval: Range | None
    fact_ids: tuple[str, ...]
    explanation: str


def compare(a: Scores, b: Scores, name_a: str, name_b: str) -> Outcome:
    """The difference of two scores. It abstains where one of them is missing; across zero there is no winner."""
    if a.score is None or b.score is None or a.interval is None or b.interval is None:
        missing = " and ".join(name for name, side in ((name_a, a), (name_b, b)) if side.score is None)
        return Outcome("abstain", None, None, (), f"Too little evidence on {missing or 'one side'} to say.")
    difference = a.score - b.score
    spread = difference_interval(a.score, a.interval, b.score, b.interval)
    if spread.low <= 0 <= spread.high:
        lead = f"{name_a if difference > 0 else name_b} leads by {abs(difference):.0f} points"
        text = (
            f"No winner: {lead if round(abs(difference)) else 'the scores are level'}, and the interval crosses zero."
        )
        return Outcome("none", difference, spread, _facts(a, b, ahead=difference >= 0), text)
    ahead = difference > 0
    low, high = sorted((abs(spread.low), abs(spread.high)))
    text = f"{name_a if ahead else name_b}, by {abs(difference):.0f} points ({low:.0f} to {high:.0f})."
    return Outcome("a" if ahead else "b", difference, spread, _facts(a, b, ahead=ahead), text)


def difference_interval(a: float, of_a: Range, b: float, of_b: Range) -> Range:
    """The interval of a - b from the two intervals, which need not be symmetric (MOVER, Zou and Donner 2008)."""
    down = math.hypot(a - of_a.low, of_b.high - b)
    up = math.hypot(of_a.high - a, b - of_b.low)
    return Range(a - b - down, a - b + up)


def _facts(a: Scores, b: Scores, *, ahead: bool) -> tuple[str, ...]:
    """What the answer rests on: the leader's strongest fact and the other's weakest."""
    first, second = (a.strongest, b.weakest) if ahead else (b.strongest, a.weakest)
    return tuple(fact for fact in (first, second) if fact)


def pairing(tool_a: str, tool_b: str) -> str:
    """The id of a comparison: both tool ids in order, joined by a colon."""
    return ":".join(sorted((tool_a, tool_b)))
