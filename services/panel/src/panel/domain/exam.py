"""The exam record of a judge model, and the level that follows from its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from .scoring import Edges
from .statistics import Range
from .tone import Constants

Level = Literal["judge", "tone_reader", "refused"]

TONE_READER_PROBES = ("held_out_auc", "border_auc", "flips_shuffled", "flips_dropped", "flips_reworded")
"""The first three rows of the table of probes (the third has three figures): a tone reader passes all of these."""

JUDGE_PROBES = (
    *TONE_READER_PROBES,
    "junk_undecided",
    "hype_not_counted",
    "orders_not_counted",
    "orders_of_pair_agree",
    "claims_supported",
)
"""What a judge passes besides."""


@dataclass(frozen=True)
class Probe:
    """One figure of the exam. ``threshold`` is None where it is only reported, ``value`` None where it was not sat."""

    probe: str
    label: str
    value: float | None
    interval: Range | None = None
    threshold: float | None = None
    passed: bool | None = None


def at_least(probe: str, label: str, value: float, threshold: float, interval: Range | None = None) -> Probe:
    """A probe that passes from ``threshold`` on."""
    return Probe(probe, label, value, interval, threshold, value >= threshold)


def lower_bound_at_least(probe: str, label: str, value: float, threshold: float, interval: Range) -> Probe:
    """A probe whose lower 95 % bound must reach ``threshold``."""
    return Probe(probe, label, value, interval, threshold, interval.low >= threshold)


def at_most(probe: str, label: str, value: float, threshold: float) -> Probe:
    """A probe that passes up to ``threshold``."""
    return Probe(probe, label, value, None, threshold, value <= threshold)


def level_of(probes: Sequence[Probe]) -> Level:
    """The level that the figures allow. A probe that was not sat was not passed."""
    passed = {probe.probe for probe in probes if probe.passed}
    if passed.issuperset(JUDGE_PROBES):
        return "judge"
    return "tone_reader" if passed.issuperset(TONE_READER_PROBES) else "refused"


@dataclass(frozen=True)
class JudgeIdentity:
    """What was examined: a model name at the gateway, and what stands behind it."""

    model: str
    weights: str | None
    engine: str | None

    @property
    def described(self) -> str:
        """Model, weights and engine as one text, for the history of verdicts."""
        weights = f" ({self.weights[:12]})" if self.weights else ""
        return f"{self.model}{weights} on {self.engine or 'an unnamed engine'}"


@dataclass(frozen=True)
class ExamRecord:
    """What an exam found, with the constants that judging needs."""

    exam_id: str
    judge: JudgeIdentity
    frames_hash: str
    level: Level
    taken_at: datetime
    probes: tuple[Probe, ...]
    constants: Constants
    edges: Edges
    correlation: float | None
    facts: dict[str, int]
    """How many facts were fitted on and examined, by set."""


def exam_id(judge: JudgeIdentity, frames_hash: str) -> str:
    """SHA-256 (hex) over weights, prompt and engine build; the model's name where the weights are not known.

    The first 16 digits of the weights' hash are enough, and all that some gateways tell.
    """
    weights = judge.weights[:16] if judge.weights else f"name:{judge.model}"
    parts = (weights, frames_hash, judge.engine or "engine unknown")
    return sha256("|".join(parts).encode()).hexdigest()
