"""Ordinary traffic with a daily rhythm, and a runaway loop in it: what the anomaly tests are run on. Seeded.

A project's requests come in sessions (an agent, a person), whose rate follows the hour and the weekday; each day is
busier or calmer than the last by some fifteen percent. Costs are log-normal: a few requests cost fifty times the
median. Some projects run a job every hour, some a batch every night. Prompts have log-normal lengths and grow in a
session; all come with one key, and no end users are told apart, so that lengths meet by chance.
"""

import copy
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from inference_gateway.domain.anomalies import SLOT_S, Series
from inference_gateway.domain.repeats import Repeats

DAY = 86_400 // SLOT_S
FLOORS = {"cost": 50_000_000.0, "requests": 30.0, "repeats": 30.0}
MONDAY = 1_792_972_800 // SLOT_S
"""First slot of Monday 2026-10-26 (UTC)."""


@dataclass(frozen=True)
class Project:
    """How a project calls. ``sessions`` a minute at noon of a weekday; ``nano_usd`` is a request's median cost."""

    sessions: float
    calls: float = 8.0
    nano_usd: float = 2_000_000
    hourly: int = 0
    nightly: float = 0.0
    tokens: float = 1500.0
    """Median length of a session's first prompt."""


ORDINARY = (
    Project(0.02, 20, 8_000_000),
    Project(0.3, 12, 3_000_000, hourly=30),
    Project(1.5, 6),
    Project(6.0, 5, nightly=2.0),
    Project(40.0, 3, 500_000, tokens=400.0),
)


def shape(hour: float, weekday: int) -> float:
    """Share of the noon's rate: nights of a tenth, a dip at lunch, weekends of a third."""
    day = math.exp(-(((hour - 10.5) / 2.6) ** 2)) + 0.9 * math.exp(-(((hour - 15.5) / 2.4) ** 2))
    return (0.1 + 0.9 * min(1.0, day)) * (0.33 if weekday >= 5 else 1.0)


@dataclass(slots=True)
class Held:
    """What sessions that have begun will still send in a slot."""

    requests: int = 0
    nano_usd: int = 0
    tokens: list[int] = field(default_factory=list)


class Ahead:
    """A ring of slots."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.chance = random.Random(seed)
        self.lengths = random.Random(seed + 1)
        self._slots = [Held() for _ in range(2 * DAY)]

    def take(self, at: int) -> Held:
        """What is sent in a slot; it is empty afterwards."""
        held, self._slots[at % len(self._slots)] = self._slots[at % len(self._slots)], Held()
        return held

    def session(self, at: int, gap_s: float) -> None:
        """Begin a session in a slot."""
        moment, tokens = self.chance.random() * SLOT_S, self.length()
        while True:
            self.call(at + int(moment / SLOT_S), tokens)
            if self.chance.random() < 1 / self.project.calls:
                return
            moment += self.chance.expovariate(1 / gap_s)
            tokens += 1 + round(self.lengths.lognormvariate(math.log(self.project.tokens / 5), 0.8))

    def length(self) -> int:
        """Length of a first prompt."""
        return round(self.lengths.lognormvariate(math.log(self.project.tokens), 0.6))

    def call(self, at: int, tokens: int) -> None:
        """Send a request in a slot."""
        held = self._slots[at % len(self._slots)]
        held.requests += 1
        held.nano_usd += round(self.chance.lognormvariate(math.log(self.project.nano_usd), 1.1))
        held.tokens.append(tokens)


def ordinary(project: Project, seed: int, days: int) -> Iterator[tuple[int, dict[str, int]]]:
    """Every slot and its amounts by measure (`cost` in nano-USD, `requests`, `repeats`), from a Monday on."""
    ahead, repeats = Ahead(project, seed), Repeats()
    chance, per_slot, busy = ahead.chance, project.sessions * SLOT_S / 60, 1.0
    for number in range(days * DAY):
        of_day = number % DAY
        hour = of_day * SLOT_S / 3600
        if of_day == 0:
            busy = chance.lognormvariate(0, 0.15)
        rate = per_slot * busy * shape(hour, number // DAY % 7)
        if project.nightly and 2.0 <= hour < 2.7:
            rate += per_slot * project.nightly
        for _ in range(_poisson(chance, rate)):
            ahead.session(number, 4.0)
        if project.hourly and of_day % (3600 // SLOT_S) == 0:
            for _ in range(chance.randint(project.hourly // 2, project.hourly)):
                ahead.call(number + chance.randrange(120 // SLOT_S), ahead.length())
        held = ahead.take(number)
        again = sum(repeats.again(str(tokens), number * SLOT_S) for tokens in held.tokens)
        yield MONDAY + number, {"cost": held.nano_usd, "requests": held.requests, "repeats": again}


def series() -> dict[str, Series]:
    """The three measures of a project that was never seen, with the floors that the settings have by default."""
    return {measure: Series(floor * SLOT_S / 60, measure) for measure, floor in FLOORS.items()}


def opens(watched: dict[str, Series], slot: int, amounts: dict[str, int]) -> bool:
    """Whether one of the measures opens an anomaly in this slot."""
    return "opened" in [watched[measure].observe(slot, amount) for measure, amount in amounts.items()]


def found_after(
    before: dict[str, Series], rows: list[tuple[int, dict[str, int]]], project: Project, a_second: int, *, same: bool
) -> float:
    """Seconds from the start of a loop in the first of ``rows`` to the end of the slot in which it is found; infinite
    where it is not found in them. ``same``: it asks the same again, and not something of another length each time."""
    chance = random.Random(a_second)
    watched, late = copy.deepcopy(before), chance.random() * SLOT_S
    for number, (slot, amounts) in enumerate(rows):
        extra = round(a_second * (SLOT_S - late if number == 0 else SLOT_S))
        more = {
            "cost": sum(round(chance.lognormvariate(math.log(project.nano_usd), 1.1)) for _ in range(extra)),
            "requests": extra,
            "repeats": max(0, extra - (number == 0)) if same else 0,
        }
        if opens(watched, slot, {measure: amount + more[measure] for measure, amount in amounts.items()}):
            return (number + 1) * SLOT_S - late
    return math.inf


def _poisson(chance: random.Random, mean: float) -> int:
    """Knuth's method; for means of a slot."""
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count
