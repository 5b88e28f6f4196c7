"""Which of two tools is ahead: differences of the panel's scores, with their intervals."""

from collections.abc import Container
from dataclasses import dataclass
from math import hypot
from typing import Literal

from .verdict import Span

Winner = Literal["a", "b", "none", "abstain"]


@dataclass(frozen=True)
class Scored:
    """A score of 0-100 with its 95 % interval; either may be missing."""

    score: float | None
    interval: Span | None


@dataclass(frozen=True)
class Difference:
    """Score of a minus score of b, with its 95 % interval."""

    winner: Winner
    points: float | None = None
    interval: Span | None = None

    def turned(self) -> "Difference":
        """The same seen from the other side."""
        winner: Winner = {"a": "b", "b": "a"}.get(self.winner, self.winner)  # type: ignore[assignment]
        interval = Span(-self.interval.high, -self.interval.low) if self.interval else None
        return Difference(winner, None if self.points is None else -self.points, interval)


def difference(a: Scored, b: Scored) -> Difference:
    """Which is ahead: nobody where the interval holds zero, abstained where a score or its
    interval is missing.

    The interval is put together from the two intervals (MOVER: Zou and Donner 2008, Statistics in Medicine 27(10)):
    each limit moves by the root of the squared distances that make the difference smaller, or larger.
    """
    if a.score is None or b.score is None or a.interval is None or b.interval is None:
        return Difference("abstain")
    points = a.score - b.score
    low = points - hypot(a.score - a.interval.low, b.interval.high - b.score)
    high = points + hypot(a.interval.high - a.score, b.score - b.interval.low)
    winner: Winner = "a" if low > 0 else "b" if high < 0 else "none"
    return Difference(winner, points, Span(low, high))


def canonical_pair(first: str, second: str) -> tuple[str, str]:
    """The one order in which two slugs stand in an address."""
    return (first, second) if first <= second else (second, first)


def split_pair(address: str, known: Container[str]) -> tuple[str, str] | None:
    """The two slugs of ``a-vs-b``; a slug may itself hold ``-vs-``, so every way to split is tried."""
    cut = address.find("-vs-")
    while cut >= 0:
        first, second = address[:cut], address[cut + 4 :]
        if first in known and second in known:
            return first, second
        cut = address.find("-vs-", cut + 1)
    return None
