"""Medians, their 95 % intervals, and what this machine is."""

import math
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by order statistics (binomial, no assumption on the distribution)."""
    ordered, count = sorted(values), len(values)
    reach = 1.96 * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - reach) - (0 if count > 5 else 1))
    high = min(count - 1, math.ceil(count / 2 + reach) - 1)
    return ordered[max(0, low)], ordered[high]


def half_width(values: Sequence[float]) -> float:
    """Half of that interval, as a share of the median."""
    if len(values) < 6:
        return math.inf
    low, high = interval_of_median(values)
    return (high - low) / 2 / abs(statistics.median(values))


def machine() -> str:
    """Processor, cores, memory, kernel."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, load {load:.1f}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
