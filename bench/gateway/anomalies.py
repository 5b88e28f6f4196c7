#!/usr/bin/env python3
"""False alarms in weeks of ordinary traffic, and how soon a runaway loop is found, in simulated time. Seeded.

    python bench/gateway/anomalies.py --seeds 5

For each seed: five projects of different sizes (services/inference-gateway/tests/traffic.py), two weeks each. The first
week is the watch's first sight of the project, the second is ordinary operation; every alarm in either is false. Then a
loop is added at three hours of the fifteenth day, at several speeds, once asking the same again and again, once
something of another length each time, and the seconds until it is found are taken.
"""

import argparse
import math
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "services" / "inference-gateway" / "tests"))

from traffic import DAY, MONDAY, ORDINARY, found_after, opens, ordinary, series

from inference_gateway.domain.anomalies import SLOT_S

HOURS = (3.3, 10.5, 20.2)
SPEEDS = (1, 2, 3, 5, 10, 20)
KINDS = {True: "the same again", False: "another each time"}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1)
    arguments = parser.parse_args()
    weeks: list[list[int]] = [[], []]
    delays: dict[tuple[bool, int], list[float]] = {(same, speed): [] for same in KINDS for speed in SPEEDS}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        alarms = [0, 0]
        for number, project in enumerate(ORDINARY):
            rows = list(ordinary(project, seed * 100 + number, 15))
            watched = series()
            starts = {14 * DAY + int(hour * 3600 / SLOT_S) for hour in HOURS}
            for at, (slot, amounts) in enumerate(rows[: max(starts) + 1]):
                if at in starts:
                    following = rows[at : at + 300 // SLOT_S]
                    for same, speed in delays:
                        delays[same, speed].append(found_after(watched, following, project, speed, same=same))
                if opens(watched, slot, amounts) and slot < MONDAY + 14 * DAY:
                    alarms[(slot - MONDAY) // (7 * DAY)] += 1
        for week, count in enumerate(alarms):
            weeks[week].append(count)
        print(
            f"seed {seed}: {len(ORDINARY)} projects, false alarms in week 1: {alarms[0]}, in week 2: {alarms[1]}",
            flush=True,
        )
    print(f"\nfalse alarms a week, first weeks {weeks[0]}, second weeks {weeks[1]}")
    print("\n| loop | calls/s | found within 60 s | median s | slowest s | not in 5 min |\n|" + " --- |" * 6)
    for (same, speed), seen in delays.items():
        found = [one for one in seen if one < math.inf]
        within = sum(1 for one in found if one <= 60)
        shown = f"{statistics.median(found):.0f} | {max(found):.0f}" if found else " | "
        print(f"| {KINDS[same]} | {speed} | {within} of {len(seen)} | {shown} | {len(seen) - len(found)} |")


if __name__ == "__main__":
    main()
