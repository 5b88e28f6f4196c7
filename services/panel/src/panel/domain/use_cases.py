"""What a reader wants to do with a tool, and how the tool's facts bear on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .dossier import Fact
from .reviews import Evidence
from .scoring import interval, score
from .statistics import Range

FEWEST = 3
"""Facts that must bear on a use case before it gets a score."""


@dataclass(frozen=True)
class UseCase:
    """A use case as data: weights of topics and kinds; a fact with none of them does not bear on it."""

    id: str
    label: str
    topics: Mapping[str, float]
    kinds: Mapping[str, float]

    def weight(self, fact: Fact) -> float:
        """The heaviest of its topics' weights and its kind's."""
        of_topics = [self.topics[topic] for topic in fact.topics if topic in self.topics]
        return max([*of_topics, self.kinds.get(fact.kind, 0.0)])


@dataclass(frozen=True)
class CaseScore:
    """The tool's score on the facts that bear on a use case; no score where they are too few."""

    use_case: str
    label: str
    score: float | None
    interval: Range | None
    facts: int
    strongest: str | None
    weakest: str | None


def case_score(case: UseCase, evidence: Evidence, seed: int) -> CaseScore:
    """Score a use case. ``strongest`` and ``weakest`` are the clearest facts for and against it, if any."""
    bearing = [(fact, case.weight(fact)) for fact in evidence.counting if case.weight(fact) > 0]
    readings = [evidence.reading(fact) for fact, _ in bearing]
    enough = len(bearing) >= FEWEST
    weights = [weight for _, weight in bearing]
    pulls = {fact.fact_id: (evidence.reading(fact).probability - 0.5) * weight for fact, weight in bearing}
    return CaseScore(
        use_case=case.id,
        label=case.label,
        score=score(readings, weights) if enough else None,
        interval=interval(readings, [weights], seed) if enough else None,
        facts=len(bearing),
        strongest=max((key for key in pulls if pulls[key] > 0), key=lambda key: (pulls[key], key), default=None),
        weakest=min((key for key in pulls if pulls[key] < 0), key=lambda key: (pulls[key], key), default=None),
    )


def case_scores(cases: Sequence[UseCase], evidence: Evidence, seed: int) -> tuple[CaseScore, ...]:
    """Every use case, in order."""
    return tuple(case_score(case, evidence, seed) for case in cases)
