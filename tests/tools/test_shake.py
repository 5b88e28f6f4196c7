"""`tools/shake.py` makes things late: else it would find nothing, and nobody would notice."""

import subprocess
import sys
from pathlib import Path

import pytest

SHAKE = Path(__file__).parents[2] / "tools" / "shake.py"

IN_ORDER = """
import asyncio
async def test_tasks_run_in_order():
    ran = []
    async def one(number):
        ran.append(number)
    await asyncio.gather(*(one(number) for number in range(100)))
    assert ran == list(range(100))
"""
NEVER_STILL = """
import pathlib, subprocess, sys, time
def test_a_process_is_never_still():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    states = set()
    until = time.monotonic() + 30
    while "T" not in states and time.monotonic() < until:
        states.add(pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0])
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert "T" not in states
"""


def ran(folder: Path, test: str, *command: str) -> str:
    """What pytest says of a test in a project of its own."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (folder / "test_it.py").write_text(test)
    asked = [sys.executable, *command, "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(asked, cwd=folder, capture_output=True, text=True, timeout=60, check=False).stdout


@pytest.mark.parametrize(
    ("test", "options"),
    [(IN_ORDER, ["--at-once", "0", "--share", "0.5"]), (NEVER_STILL, ["--share", "0"])],
    ids=["tasks", "processes"],
)
def test_what_is_never_late_otherwise_is_late_when_shaken(tmp_path: Path, test: str, options: list[str]) -> None:
    assert "1 failed" in ran(tmp_path, test, str(SHAKE), *options)


def test_a_task_that_nothing_delays_runs_in_order(tmp_path: Path) -> None:
    assert "1 passed" in ran(tmp_path, IN_ORDER, "-m", "pytest")
    assert "1 passed" in ran(tmp_path, IN_ORDER, str(SHAKE), "--at-once", "0", "--share", "0")
