#!/usr/bin/env python3
"""Run tests while everything comes late at random: `tools/shake.py [--seed N] [what pytest takes]`. Linux only.

Two kinds of lateness, which find two kinds of races:

- steps of asyncio's tasks wait up to `--late` seconds, so that what one loop does comes in another order;
- processes that the tests started (each Postgres backend, brokers, nodes, browsers) stand still for a moment, one by
  one, so that what one process has done and another one has not yet seen stays so for a while.

A test that fails here and passes otherwise asserts something too soon, or has found a race in what it tests. A few
tests hold that what is asked at once is done at once, in its order; those may fail here for no fault of anybody's.
"""

import argparse
import asyncio
import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
from asyncio import base_events
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36


def pytest_configure() -> None:
    """As a plugin of pytest: let steps of tasks wait. Every step may; what is not a step keeps its order."""
    draw, share, most = random.Random(), float(os.environ["SHAKE_SHARE"]), float(os.environ["SHAKE_LATE"])
    draw.seed(os.environ["SHAKE_SEED"] + os.environ.get("PYTEST_XDIST_WORKER", ""))
    at_once = base_events.BaseEventLoop.call_soon

    def perhaps_later(loop: Any, callback: Any, *arguments: Any, context: Any = None) -> Any:
        step = type(callback).__name__ == "TaskStepMethWrapper" or isinstance(
            getattr(callback, "__self__", None), asyncio.Task
        )
        if step and draw.random() < share:
            return loop.call_later(draw.uniform(0, most), callback, *arguments, context=context)
        return at_once(loop, callback, *arguments, context=context)

    base_events.BaseEventLoop.call_soon = perhaps_later  # type: ignore[assignment, method-assign]


def started_by(process: int) -> list[int]:
    """All processes below this one."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has ended meanwhile
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found = list(parents.get(process, []))
    for one in found:
        found += parents.get(one, [])
    return found


def stop_now_and_then(tests: int, over: threading.Event, seed: str, longest: float) -> None:
    """Let one process after the other stand still, until it is over."""
    draw = random.Random(seed)
    while not over.wait(draw.uniform(0, 0.25)):
        if below := started_by(os.getpid()):
            process = draw.choice(below)
            if process == tests:
                continue
            try:
                os.kill(process, signal.SIGSTOP)
                over.wait(draw.uniform(longest / 8, longest))
                os.kill(process, signal.SIGCONT)
            except ProcessLookupError:
                pass


def main() -> int:
    """Run pytest shaken. Returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", default="1", help="another seed, other things late")
    parser.add_argument("--share", type=float, default=0.02, help="of the steps that wait")
    parser.add_argument("--late", type=float, default=0.12, help="seconds that a step waits at most")
    parser.add_argument("--still", type=float, default=0.6, help="seconds that a process stands still at most")
    parser.add_argument("--at-once", type=int, default=4, help="processes that stand still at the same time, at most")
    asked, pytest_takes = parser.parse_known_args()
    # What loses its parent becomes ours, so that nothing escapes.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    environment = os.environ | {
        "SHAKE_SEED": asked.seed,
        "SHAKE_SHARE": str(asked.share),
        "SHAKE_LATE": str(asked.late),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])),
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not before what stands still goes on
    tests = subprocess.Popen([sys.executable, "-m", "pytest", "-p", "shake", *pytest_takes], env=environment)
    over = threading.Event()
    stopping = [
        threading.Thread(target=stop_now_and_then, args=(tests.pid, over, f"{asked.seed}.{number}", asked.still))
        for number in range(asked.at_once)
    ]
    for one in stopping:
        one.start()
    try:
        while True:
            ended, status = os.waitpid(-1, 0)  # of what became ours too, so that tests see it gone
            if ended == tests.pid:
                tests.returncode = os.waitstatus_to_exitcode(status)
                return tests.returncode
    finally:
        over.set()
        if tests.returncode is None:
            tests.terminate()
        for one in stopping:
            one.join()


if __name__ == "__main__":
    sys.exit(main())
