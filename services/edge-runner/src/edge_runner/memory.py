"""Memory of this host, and sizes as people write them."""

import re
from collections.abc import Iterator
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
    limits = [text for path in _limits() if (text := _read(path)).isdigit()]
    return min([total, *map(int, limits)])


def resident_of(process: int) -> int:
    """Resident bytes of a process and all that it has started; 0 where it is gone.

    One process: its resident set. Several: the sum of their proportional sets, since they share libraries.
    """
    try:
        found = psutil.Process(process)
        children = found.children(recursive=True)
        if not children:
            return int(found.memory_info().rss)
        return sum(_proportional(one) for one in (found, *children))
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.Error:
        return 0


def _limits(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[Path]:
    """Where this process's limits may stand: of its control group and those above it, versions 2 and 1."""
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        yield from (folder / name for folder in (group, *group.parents) if folder.is_relative_to(base))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
