"""The tone reader: does a sentence, read by itself, sound like good news about a tool or bad news?

A small model answers no question about a fact well, but it continues a sentence well. Each fact is put into three
frames, and the log-probabilities of two opposite next words are compared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from .statistics import Sigmoid, deviation, percentile

Stance = Literal["for", "against", "unclear"]

FOR, AGAINST = 0.8, 0.2
"""Probabilities from which, and up to which, a reading is clear: right in 93 % of cases outside that band."""

LEAD = "About a software tool: "
TOP = 1000
"""Log-probabilities that are asked for with each token."""

MISSING_PENALTY = 1.0
"""A word that is not among them is taken to be this much (in nats) less likely than the last one that is."""


@dataclass(frozen=True)
class Frame:
    """How a fact is continued, and the two next words that are compared."""

    continuation: str
    good: str
    bad: str

    def prompt(self, statement: str) -> str:
        """The text that the model continues. The statement is data: one line, ended like a sentence."""
        return f"{LEAD}{sentence(statement)} {self.continuation}"


FRAMES = (
    Frame("This is a big", "advantage", "disadvantage"),
    Frame("For its users, this is", "good", "bad"),
    Frame("This makes users feel", "happy", "frustrated"),
)

REWORDED = (
    Frame("That is a clear", "strength", "weakness"),
    Frame("For people who work with it, that is", "great", "terrible"),
    Frame("This leaves its users", "pleased", "annoyed"),
)
"""Other words for the same frames: the exam asks whether a verdict hangs on the wording."""


def sentence(statement: str) -> str:
    """The statement on one line, with a full stop where it ends without one."""
    line = " ".join(statement.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."


def prompt_hash(frames: Sequence[Frame], *others: str) -> str:
    """SHA-256 (hex) over the frames and whatever else shapes a reading or a review (the personas' files)."""
    parts = [LEAD, *(f"{frame.continuation}|{frame.good}|{frame.bad}" for frame in frames), *others]
    return sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class TokenChance:
    """A next token and its log-probability (natural)."""

    token: str
    logprob: float


def difference(frame: Frame, chances: Sequence[TokenChance]) -> float:
    """Log mass of the good word minus log mass of the bad one, over case and leading space, in nats."""
    if not chances:
        raise ValueError("no log-probabilities to compare")
    floor = min(chance.logprob for chance in chances) - MISSING_PENALTY
    return _log_mass(frame.good, chances, floor) - _log_mass(frame.bad, chances, floor)


def _log_mass(word: str, chances: Sequence[TokenChance], floor: float) -> float:
    found = [chance.logprob for chance in chances if chance.token.strip().lower() == word]
    if not found:
        return floor
    highest = max(found)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in found))


@dataclass(frozen=True)
class Scale:
    """Median and standard deviation of a frame's differences over the calibration facts."""

    median: float
    deviation: float

    def z(self, value: float) -> float:
        """How many deviations above the median."""
        return (value - self.median) / self.deviation


@dataclass(frozen=True)
class Constants:
    """What an exam fits for one engine build: a scale a frame, and the curve from mean z to probability."""

    scales: tuple[Scale, ...]
    curve: Sigmoid

    def tone(self, differences: Sequence[float]) -> float:
        """The mean z over the frames."""
        return math.fsum(scale.z(value) for scale, value in zip(self.scales, differences, strict=True)) / len(
            self.scales
        )

    def probability(self, differences: Sequence[float]) -> float:
        """The probability that the fact speaks for the tool."""
        return self.curve(self.tone(differences))


def fit_scale(values: Sequence[float]) -> Scale:
    """The scale of a frame. Raises ``ValueError`` where the model says the same to every fact."""
    spread = deviation(values)
    if spread <= 0:
        raise ValueError("the model answers every fact alike")
    return Scale(percentile(sorted(values), 0.5), spread)


@dataclass(frozen=True)
class Reading:
    """How one fact was read."""

    fact_id: str
    probability: float

    @property
    def stance(self) -> Stance:
        """Clear where the probability is."""
        return stance(self.probability)

    @property
    def clear(self) -> bool:
        """Whether it speaks for or against."""
        return self.stance != "unclear"


def stance(probability: float) -> Stance:
    """For from .8 on, against up to .2, else unclear."""
    if probability >= FOR:
        return "for"
    return "against" if probability <= AGAINST else "unclear"
