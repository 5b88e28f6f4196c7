"""Ordinary traffic with a daily rhythm, and a runaway loop in it: what the anomaly tests are run on. Seeded.

A project's requests come in sessions (an agent, a person), whose rate follows the hour and the weekday; each day is
busier or calmer than the last by some fifteen percent. Costs are log-normal: a few requests cost fifty times the
median. Some projects run a job every hour, some a batch every night.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from inference_gateway.domain.anomalies import SLOT_S

DAY = 86_400 // SLOT_S
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


ORDINARY = (
    Project(0.02, 20, 8_000_000),
    Project(0.3, 12, 3_000_000, hourly=30),
    Project(1.5, 6),
    Project(6.0, 5, nightly=2.0),
    Project(40.0, 3, 500_000),
)


def shape(hour: float, weekday: int) -> float:
    """Share of the noon's rate: nights of a tenth, a dip at lunch, weekends of a third."""
    day = math.exp(-(((hour - 10.5) / 2.6) ** 2)) + 0.9 * math.exp(-(((hour - 15.5) / 2.4) ** 2))
    return (0.1 + 0.9 * min(1.0, day)) * (0.33 if weekday >= 5 else 1.0)


def ordinary(project: Project, seed: int, days: int) -> Iterator[tuple[int, int, int]]:
    """(slot, requests, nano-USD) of every slot, from a Monday on."""
    chance = random.Random(seed)
    ahead = [[0, 0] for _ in range(2 * DAY)]  # a ring: what sessions that have begun will still send
    per_slot = project.sessions * SLOT_S / 60
    busy = 1.0
    for number in range(days * DAY):
        slot = MONDAY + number
        of_day = number % DAY
        hour = of_day * SLOT_S / 3600
        if of_day == 0:
            busy = chance.lognormvariate(0, 0.15)
        rate = per_slot * busy * shape(hour, number // DAY % 7)
        if project.nightly and 2.0 <= hour < 2.7:
            rate += per_slot * project.nightly
        for _ in range(_poisson(chance, rate)):
            _session(chance, project, ahead, number, 4.0)
        if project.hourly and of_day % (3600 // SLOT_S) == 0:
            for _ in range(chance.randint(project.hourly // 2, project.hourly)):
                _call(chance, project, ahead, number + chance.randrange(120 // SLOT_S))
        requests, cost = ahead[number % len(ahead)]
        ahead[number % len(ahead)] = [0, 0]
        yield slot, requests, cost


def _session(chance: random.Random, project: Project, ahead: list[list[int]], at: int, gap_s: float) -> None:
    moment = chance.random() * SLOT_S
    while True:
        _call(chance, project, ahead, at + int(moment / SLOT_S))
        if chance.random() < 1 / project.calls:
            return
        moment += chance.expovariate(1 / gap_s)


def _call(chance: random.Random, project: Project, ahead: list[list[int]], at: int) -> None:
    held = ahead[at % len(ahead)]
    held[0] += 1
    held[1] += round(chance.lognormvariate(math.log(project.nano_usd), 1.1))


def _poisson(chance: random.Random, mean: float) -> int:
    """Knuth's method; for means of a slot."""
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count
