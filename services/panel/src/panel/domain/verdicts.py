"""The panel's verdict: five reviews become one answer with the counts beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .agreement import effective_votes, gwet_ac1, krippendorff_alpha
from .personas import Persona
from .reviews import Evidence, counted_readings
from .scoring import Edges, Verdict, interval
from .statistics import Range, wilson


@dataclass(frozen=True)
class Agreement:
    """How far the reviewers agree and how many of them count as independent."""

    effective_votes: float
    correlation: float | None
    gwet_ac1: float | None
    krippendorff_alpha: float | None


class Voice(Protocol):
    """One reviewer's say, fresh or as it was kept."""

    @property
    def verdict(self) -> Verdict:
        """Its verdict."""

    @property
    def score(self) -> float | None:
        """Its score, where it has one."""


@dataclass(frozen=True)
class PanelVerdict:
    """What the panel says."""

    verdict: Verdict
    score: float | None
    interval: Range | None
    counts: Counter[str]
    ship_share: float | None
    ship_share_interval: Range | None
    agreement: Agreement


def decide(
    reviews: Sequence[Voice],
    personas: Sequence[Persona],
    evidence: Evidence,
    edges: Edges,
    correlation: float | None,
    other_votes: Sequence[Sequence[str]],
    seed: int,
) -> PanelVerdict:
    """The panel's verdict: the mean of the scores against the edges.

    ``correlation`` is the exam's: the mean over every two personas on this model. ``other_votes`` are the reviewers'
    verdicts on the other tools that the panel has judged, so that agreement stands on more than one tool.
    """
    counts: Counter[str] = Counter(review.verdict for review in reviews)
    scores = [review.score for review in reviews if review.score is not None]
    mean = sum(scores) / len(scores) if scores else None
    spread = None
    if mean is not None:
        rows = [[persona.weight(fact) for fact in evidence.counting] for persona in personas]
        spread = interval(counted_readings(evidence), rows, seed)
    decided = counts["ship"] + counts["skip"]
    share = counts["ship"] / decided if decided else None
    return PanelVerdict(
        verdict=edges.verdict(mean) if mean is not None else "abstain",
        score=mean,
        interval=spread,
        counts=counts,
        ship_share=share,
        ship_share_interval=wilson(share, effective_votes(decided, correlation)) if share is not None else None,
        agreement=agreement([[review.verdict for review in reviews], *other_votes], len(reviews), correlation),
    )


def agreement(votes: Sequence[Sequence[str]], raters: int, correlation: float | None) -> Agreement:
    """Agreement over the tools judged so far; a reviewer that abstains gave no rating."""
    ratings = [[vote for vote in unit if vote != "abstain"] for unit in votes]
    return Agreement(
        effective_votes=effective_votes(raters, correlation),
        correlation=correlation,
        gwet_ac1=gwet_ac1(ratings),
        krippendorff_alpha=krippendorff_alpha(ratings),
    )
