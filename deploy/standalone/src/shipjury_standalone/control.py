"""What ``shipjury status`` says."""

from datetime import UTC, datetime

import psutil

from .folder import DataFolder, State


def describe(folder: DataFolder, state: State) -> str:
    """Where it answers, since when, each process with its memory, and how large the data folder is."""
    up_for = datetime.now(UTC) - datetime.fromisoformat(state.started_at)
    lines = [
        f"Shipjury runs for {str(up_for).split('.')[0]}",
        f"  site           {state.readers}",
        f"  operators      {state.operators}",
        f"  events         {state.kafka}",
        f"  data           {folder.path} ({_size(folder) // 2**20} MiB)",
        "",
        f"  {'process':18} {'pid':>8} {'memory':>10}",
    ]
    total = 0
    for name, pid in {"services": state.pid, **_children(state)}.items():
        memory = _memory(pid, with_children=name != "services")
        total += memory
        lines.append(f"  {name:18} {pid:>8} {memory // 2**20:>6} MiB")
    lines.append(f"  {'together':18} {'':>8} {total // 2**20:>6} MiB")
    return "\n".join(lines)


def _children(state: State) -> dict[str, int]:
    """The parts by name, as they run now: one that ended was started again with another number."""
    now = {child.pid for child in psutil.Process(state.pid).children()}
    known = {name: pid for name, pid in state.children.items() if pid in now}
    for pid in now - set(known.values()):
        known[psutil.Process(pid).name()] = pid
    return known


def _memory(pid: int, *, with_children: bool) -> int:
    """Memory that ending these processes would give back, in bytes (PSS: shared pages count by share)."""
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if with_children else [])]
        return sum(_own(one) for one in family)
    except psutil.NoSuchProcess:
        return 0


def _own(process: psutil.Process) -> int:
    try:
        return int(getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss)
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return 0


def _size(folder: DataFolder) -> int:
    total = 0
    for path in folder.path.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
