"""A persona: what a reviewer asks for and which facts it weighs. Data in `personas/*.toml`, shape here."""

from dataclasses import dataclass
from typing import Literal

from .dossier import Fact

BESIDE = 0.3
"""Weight of a fact that is not on a persona's list 1."""

TOPICS = frozenset(
    [
        "api",
        "compatibility",
        "self_hosting",
        "hardware",
        "memory",
        "speed",
        "price",
        "free_tier",
        "billing",
        "budget_control",
        "licence",
        "privacy",
        "security",
        "reliability",
        "maintenance",
        "adoption",
        "competition",
        "vendor",
        "multimodal",
        "structured_output",
        "context_length",
        "setup",
        "documentation",
        "ease_of_use",
        "lock_in",
        "observability",
        "limits",
    ]
)
"""Finer subjects of facts, as the catalog assigns them at import."""

KINDS = frozenset(
    ["capability", "maturity", "limit", "ecosystem", "price", "performance", "licence", "privacy", "company"]
)
"""What a fact can be about, as the catalog says it."""


@dataclass(frozen=True)
class Criterion:
    """One criterion of a rubric, anchored at 0 and 10; larger models score by it (level `judge`)."""

    name: str
    weight: float
    low: str
    high: str


@dataclass(frozen=True)
class FieldRule:
    """A structured field, and which fact may answer it at level `tone_reader`.

    ``topics`` are looked for first, then ``kinds``. Without either the field needs a judge and stays unanswered.
    ``stance`` is the direction that the fact must lean to.
    """

    id: str
    label: str
    topics: frozenset[str]
    kinds: frozenset[str]
    stance: Literal["for", "against", "any"]


@dataclass(frozen=True)
class Persona:
    """A reviewer as data."""

    id: str
    name: str
    asks_for: str
    motto: str
    excited_about: tuple[str, ...]
    tired_of: tuple[str, ...]
    weighs: frozenset[str]
    ship_at: float
    skip_below: float
    rubric: tuple[Criterion, ...]
    fields: tuple[FieldRule, ...]

    def weight(self, fact: Fact) -> float:
        """1 where the fact's kind or one of its topics is on list 1, else .3."""
        return 1.0 if fact.tags & self.weighs else BESIDE
