#!/usr/bin/env python3
"""False alarms in weeks of ordinary traffic, and how soon a runaway loop is found, in simulated time. Seeded.

    python bench/gateway/anomalies.py --seeds 5

For each seed: five projects of different sizes (services/inference-gateway/tests/traffic.py), two weeks each. The first
week is the watch's first sight of the project, the second is ordinary operation; every alarm in either is false. Then a
loop is added at three hours of the fifteenth day, at several speeds, and the seconds until it is found are taken.
"""

import argparse
import copy
import math
import random
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "services" / "inference-gateway" / "tests"))

from traffic import DAY, MONDAY, ORDINARY, Project, ordinary

from inference_gateway.domain.anomalies import SLOT_S, Series

FLOORS = {"cost": 50_000_000 * SLOT_S / 60, "requests": 30 * SLOT_S / 60}
HOURS = (3.3, 10.5, 20.2)
SPEEDS = (2, 5, 10, 20, 50)


def watch(series: dict[str, Series], slot: int, requests: float, cost: float) -> bool:
    """Whether one of the two measures opened in this slot."""
    changes = [series["cost"].observe(slot, cost), series["requests"].observe(slot, requests)]
    return "opened" in changes


def found_after(before: dict[str, Series], rows: list[tuple[int, int, int]], project: Project, speed: int) -> float:
    """Seconds from a loop's start to the end of the slot in which it is found; infinite past five minutes."""
    chance = random.Random(speed)
    series, late = copy.deepcopy(before), chance.random() * SLOT_S
    for number, (slot, requests, cost) in enumerate(rows):
        extra = round(speed * (SLOT_S - late if number == 0 else SLOT_S))
        spent = sum(chance.lognormvariate(math.log(project.nano_usd), 1.1) for _ in range(extra))
        if watch(series, slot, requests + extra, cost + spent):
            return (number + 1) * SLOT_S - late
    return math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1)
    arguments = parser.parse_args()
    weeks = [[0, 0], [0, 0]]
    delays: dict[int, list[float]] = {speed: [] for speed in SPEEDS}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        alarms = [0, 0]
        for number, project in enumerate(ORDINARY):
            rows = list(ordinary(project, seed * 100 + number, 15))
            series = {measure: Series(floor=floor) for measure, floor in FLOORS.items()}
            starts = {14 * DAY + int(hour * 3600 / SLOT_S) for hour in HOURS}
            for at, (slot, requests, cost) in enumerate(rows):
                if at in starts:
                    following = rows[at : at + 300 // SLOT_S]
                    for speed in SPEEDS:
                        delays[speed].append(found_after(series, following, project, speed))
                if watch(series, slot, requests, cost) and slot < MONDAY + 14 * DAY:
                    alarms[(slot - MONDAY) // (7 * DAY)] += 1
        for week, count in enumerate(alarms):
            weeks[week][0] += count
            weeks[week][1] = max(weeks[week][1], count)
        print(
            f"seed {seed}: {len(ORDINARY)} projects, false alarms in week 1: {alarms[0]}, in week 2: {alarms[1]}",
            flush=True,
        )
    print(
        f"\nfalse alarms over {arguments.seeds} seeds: week 1 {weeks[0][0]} (most in one seed {weeks[0][1]}), "
        f"week 2 {weeks[1][0]} (most in one seed {weeks[1][1]})"
    )
    print("\nloop, calls/s   found within 60 s   median s   slowest s   not in 5 min   (5 projects x 3 hours x seeds)")
    for speed, seen in delays.items():
        found = [one for one in seen if one < math.inf]
        within = sum(1 for one in found if one <= 60)
        shown = f"{statistics.median(found):8.0f}   {max(found):9.0f}" if found else "       -           -"
        print(f"{speed:13}   {within:6} of {len(seen):6}   {shown}   {len(seen) - len(found):12}")


if __name__ == "__main__":
    main()
