"""What lists and pages show of a panel's verdict and a community's tally."""

from dataclasses import dataclass
from datetime import datetime

DEFAULT_EDGES = (47.0, 60.0)
"""Skip below the first, ship from the second, where a verdict does not state its own."""


@dataclass(frozen=True)
class Span:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class ReviewerMark:
    """One reviewer's verdict; ``score`` is 0-100, or ``None`` where it abstains."""

    persona: str
    name: str
    verdict: str
    score: float | None


@dataclass(frozen=True)
class Summary:
    """A verdict in what a list shows. Scores are 0-100, shares 0-1."""

    verdict_id: str
    verdict: str
    score: float | None
    interval: Span | None
    ship: int
    skip: int
    undecided: int
    abstain: int
    ship_share: float | None
    reviewers: tuple[ReviewerMark, ...]
    issued_at: datetime
    level: str
    effective_votes: float
    number: int = 1
    """Which verdict on this tool it is, counted from 1."""
    cause: str | None = None
    """What changed since the verdict before: ``evidence``, ``prompt``, ``model`` or ``repeat``."""
    explanation: str = ""
    before: str | None = None
    """The verdict before, where it was another one."""
    edges: tuple[float, float] = DEFAULT_EDGES
    """Skip below the first, ship from the second; points of 100."""

    @property
    def spread(self) -> float | None:
        """Points between the highest and the lowest reviewer; ``None`` under two scores."""
        scores = [mark.score for mark in self.reviewers if mark.score is not None]
        return max(scores) - min(scores) if len(scores) > 1 else None


@dataclass(frozen=True)
class Tally:
    """The community's votes on a tool. ``share`` is ``None`` under the minimum of votes."""

    version: int
    ship: int
    skip: int
    held: int
    share: float | None
    interval: Span | None

    @property
    def votes(self) -> int:
        """Counted votes."""
        return self.ship + self.skip
