"""Labelled facts: what an exam is fitted on and examined with, and the dossiers that are composed from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

SEED = 20261120
"""One seed for every split and composition, so that the same model sits the same exam."""


@dataclass(frozen=True)
class LabelledFact:
    """A fact with what a person said about it: 1 speaks for the tool, -1 against it, 0 neither."""

    fact_id: str
    text: str
    polarity: Literal[-1, 0, 1]
    kind: str = ""
    topics: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledDossier:
    """A tool of a calibration set with its label (good, bad, mixed)."""

    id: str
    label: str
    facts: tuple[LabelledFact, ...]


CalibrationSet = Sequence[LabelledDossier]


@dataclass(frozen=True)
class Halves:
    """A calibration set, parted."""

    fit: tuple[LabelledDossier, ...]
    examined: tuple[LabelledDossier, ...]


@dataclass(frozen=True)
class ProbeTexts:
    """Sentences that are no evidence: what a judge should not be moved by."""

    neutral: tuple[str, ...]
    junk: tuple[str, ...]
    hype: tuple[str, ...]
    orders: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every sentence."""
        return (*self.neutral, *self.junk, *self.hype, *self.orders)


def split(dossiers: CalibrationSet, seed: int = SEED) -> Halves:
    """Two halves, split by dossier and stratified by label; an odd one out is examined."""
    fit: list[LabelledDossier] = []
    examined: list[LabelledDossier] = []
    for label in sorted({dossier.label for dossier in dossiers}):
        group = sorted((dossier for dossier in dossiers if dossier.label == label), key=lambda one: one.id)
        Random(f"{seed}:{label}").shuffle(group)
        half = len(group) // 2
        fit.extend(group[:half])
        examined.extend(group[half:])
    return Halves(tuple(fit), tuple(examined))


def facts_of(dossiers: CalibrationSet, polarity: int | None = None) -> tuple[LabelledFact, ...]:
    """The facts, all or those of one polarity."""
    return tuple(
        fact for dossier in dossiers for fact in dossier.facts if polarity is None or fact.polarity == polarity
    )


@dataclass(frozen=True)
class Composed:
    """A dossier made up of facts of many tools."""

    speaking_for: int
    speaking_against: int
    texts: tuple[str, ...]


def compose(
    dossiers: CalibrationSet, speaking_for: int, speaking_against: int, count: int, seed: int = SEED
) -> tuple[Composed, ...]:
    """``count`` dossiers with so many facts for and against, drawn without repetition inside one."""
    positive, negative = facts_of(dossiers, 1), facts_of(dossiers, -1)
    draw = Random(f"{seed}:{speaking_for}:{speaking_against}")
    made = []
    for _ in range(count):
        texts = [fact.text for fact in (*draw.sample(positive, speaking_for), *draw.sample(negative, speaking_against))]
        draw.shuffle(texts)
        made.append(Composed(speaking_for, speaking_against, tuple(texts)))
    return tuple(made)


def compose_of(texts: Sequence[str], size: int, count: int, seed: int = SEED) -> tuple[tuple[str, ...], ...]:
    """``count`` dossiers of ``size`` sentences drawn from ``texts``."""
    draw = Random(f"{seed}:{size}:{len(texts)}")
    return tuple(tuple(draw.sample(list(texts), size)) for _ in range(count))


@dataclass(frozen=True)
class Pair:
    """Two tools in one question. The model continues ``question`` with A or B; ``swapped`` is the other order."""

    question: str
    swapped: str


def pairs(dossiers: CalibrationSet, count: int = 20, seed: int = SEED) -> tuple[Pair, ...]:
    """Pairs of a dossier with three facts for and one against, and one the other way round."""
    better = compose(dossiers, 3, 1, count, seed)
    worse = compose(dossiers, 1, 3, count, seed)
    return tuple(
        Pair(_question(one.texts, other.texts), _question(other.texts, one.texts))
        for one, other in zip(better, worse, strict=True)
    )


def _question(first: Sequence[str], second: Sequence[str]) -> str:
    return f"Tool A: {' '.join(first)}\nTool B: {' '.join(second)}\nOf the two, the better one is tool"


Differences = Mapping[str, Sequence[float]]
"""Statement to its difference in each frame."""
