"""One persona's review at level `tone_reader`: facts quoted by a template, never words of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .dossier import Fact
from .personas import FieldRule, Persona
from .scoring import Edges, Scored, Verdict, scored
from .statistics import Range
from .tone import Reading, Stance

STRONGEST = 2
"""Reasons for and reasons against that a review names."""


@dataclass(frozen=True)
class Claim:
    """A reason: a fact in quotation marks with a lead-in by topic."""

    claim_id: str
    lead_in: str
    text: str
    stance: Stance
    probability: float
    fact_id: str
    check: Literal["quoted", "contradicted"]
    contradicted_by: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """A contradicted claim is shown struck and moves nothing."""
        return self.check == "quoted"


@dataclass(frozen=True)
class Answer:
    """A field of the review; no text where no fact answers it or the level does not allow an answer."""

    field: str
    label: str
    text: str | None
    fact_id: str | None


@dataclass(frozen=True)
class Review:
    """What one persona says."""

    persona: str
    persona_name: str
    score: float | None
    interval: Range | None
    verdict: Verdict
    note: str | None
    answers: tuple[Answer, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Evidence:
    """What every persona reads: the facts, how each was read, and which the record contradicts."""

    facts: tuple[Fact, ...]
    readings: Mapping[str, Reading]
    contradicted: Mapping[str, tuple[str, ...]]

    @property
    def counting(self) -> tuple[Fact, ...]:
        """The facts that move a score: read, and not contradicted."""
        return tuple(
            fact for fact in self.facts if fact.fact_id in self.readings and fact.fact_id not in self.contradicted
        )

    def reading(self, fact: Fact) -> Reading:
        """How the fact was read."""
        return self.readings[fact.fact_id]


LeadIns = Mapping[str, str]
"""Topic or kind to the words that introduce a quote."""


def review(
    persona: Persona, evidence: Evidence, edges: Edges, lead_ins: LeadIns, seed: int, disclosure: str | None = None
) -> Review:
    """The persona's review. ``disclosure`` is what a reader must know about the model (a vendor conflict)."""
    counting = evidence.counting
    found: Scored = scored(
        [evidence.reading(fact) for fact in counting], [persona.weight(fact) for fact in counting], edges, seed
    )
    return Review(
        persona=persona.id,
        persona_name=persona.name,
        score=found.score,
        interval=found.interval,
        verdict=found.verdict,
        note=" ".join(part for part in (found.note, disclosure) if part) or None,
        answers=answers(persona, evidence),
        claims=claims(persona, evidence, lead_ins),
    )


def claims(persona: Persona, evidence: Evidence, lead_ins: LeadIns) -> tuple[Claim, ...]:
    """The strongest reasons for, then against, by |p - .5| times weight.

    Two of each count. A contradicted fact that would have been among them is shown too, struck.
    """
    named: list[tuple[Fact, Reading]] = []
    for side in (True, False):
        leaning = [
            (fact, evidence.reading(fact))
            for fact in evidence.facts
            if fact.fact_id in evidence.readings
            and (evidence.reading(fact).probability > 0.5) is side
            and evidence.reading(fact).probability != 0.5
        ]
        leaning.sort(key=lambda pair: (-abs(pair[1].probability - 0.5) * persona.weight(pair[0]), pair[0].fact_id))
        sound = 0
        struck = 0
        for fact, reading in leaning:
            if fact.fact_id in evidence.contradicted:
                if struck == STRONGEST:
                    continue
                struck += 1
            else:
                sound += 1
            named.append((fact, reading))
            if sound == STRONGEST:
                break
    return tuple(
        Claim(
            claim_id=f"{persona.id}-{number}",
            lead_in=lead_in(fact, persona, lead_ins),
            text=fact.statement,
            stance=reading.stance,
            probability=reading.probability,
            fact_id=fact.fact_id,
            check="contradicted" if fact.fact_id in evidence.contradicted else "quoted",
            contradicted_by=evidence.contradicted.get(fact.fact_id, ()),
        )
        for number, (fact, reading) in enumerate(named, start=1)
    )


def lead_in(fact: Fact, persona: Persona, lead_ins: LeadIns) -> str:
    """The words before a quote: by the first topic that the persona weighs, else the first topic, else the kind."""
    weighed = [topic for topic in fact.topics if topic in persona.weighs]
    return next((lead_ins[tag] for tag in (*weighed, *fact.topics, fact.kind) if tag in lead_ins), "")


def answers(persona: Persona, evidence: Evidence) -> tuple[Answer, ...]:
    """Each field with the fact that answers it; a fact answers one field of a review at most."""
    used: set[str] = set()
    found: list[Answer] = []
    for rule in persona.fields:
        fact = _answering(rule, evidence, used)
        if fact:
            used.add(fact.fact_id)
        found.append(Answer(rule.id, rule.label, fact.statement if fact else None, fact.fact_id if fact else None))
    return tuple(found)


def _answering(rule: FieldRule, evidence: Evidence, used: set[str]) -> Fact | None:
    candidates = [
        fact
        for fact in evidence.counting
        if fact.fact_id not in used and _fit(rule, fact) > 0 and _leans(rule, evidence.reading(fact))
    ]
    return max(
        candidates,
        key=lambda fact: (_fit(rule, fact), abs(evidence.reading(fact).probability - 0.5), fact.fact_id),
        default=None,
    )


def _fit(rule: FieldRule, fact: Fact) -> int:
    """Shared topics count double; the kind decides among equals, and answers where no topic is on record."""
    return 2 * len(rule.topics.intersection(fact.topics)) + (fact.kind in rule.kinds)


def _leans(rule: FieldRule, reading: Reading) -> bool:
    if rule.stance == "any":
        return True
    return (reading.probability > 0.5) is (rule.stance == "for")


def counted_readings(evidence: Evidence) -> Sequence[Reading]:
    """The readings that move a score, in the dossier's order."""
    return [evidence.reading(fact) for fact in evidence.counting]
