"""Memory of this host, and sizes as people write them."""

import re
from pathlib import Path

import psutil

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def memory_of(size: str | None) -> int:
    """Bytes of a size such as ``4GiB``, ``500M``; of this host (or its control group) where none is given."""
    if size is None:
        return host_memory()
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?|)b?\s*", size.lower())
    if match is None:
        raise ValueError(f"{size!r} is no size; write it like 4GiB or 500MB")
    return int(float(match[1]) * _UNITS[match[2]])


def host_memory() -> int:
    """What this process may use: its control group's limit where there is one, else the machine's memory."""
    total: int = psutil.virtual_memory().total
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
