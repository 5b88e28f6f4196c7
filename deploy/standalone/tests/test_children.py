"""Children end with us, however we end, and are found again where the kernel does not help."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from shipjury_standalone import children
from shipjury_standalone.testing import wait_until

PARENT = """
    import sys, signal
    from pathlib import Path
    from shipjury_standalone import children
    child = children.start(
        "child", [sys.executable, "-c", "import signal; signal.pause()"],
        log=print, pid_file=Path(sys.argv[1]), death_signal=signal.SIGKILL,
    )
    print(child.process.pid, flush=True)
    signal.pause()
"""


def start_a_parent(pid_file: Path) -> tuple["subprocess.Popen[str]", int]:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(pid_file)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent, child = start_a_parent(tmp_path / "pid")
    assert not gone(child)
    parent.kill()
    parent.wait()
    await wait_until(lambda: gone(child))


def test_a_child_has_a_process_group_of_its_own_so_that_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    child = children.start("sleeper", ["sleep", "60"], log=print)
    try:
        assert os.getpgid(child.process.pid) == child.process.pid
    finally:
        child.stop()


def test_what_an_earlier_run_left_behind_is_ended_at_the_next_start(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "60"], process_group=0)
    children.remember(tmp_path / "pid", left.pid)
    children.end_left_over(tmp_path / "pid")
    assert gone(left.pid)
    assert not (tmp_path / "pid").exists()


def test_a_stranger_with_the_number_of_a_dead_child_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "pid").write_text(f"{stranger.pid} {psutil.Process(stranger.pid).create_time() - 500}\n")
        children.end_left_over(tmp_path / "pid")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_child_that_ignores_its_signal_is_killed_after_its_grace() -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    said: list[str] = []
    child = children.start("deaf", [sys.executable, "-c", code], log=said.append, grace=0.3)
    child.wait_until(lambda: "deaf" in said, seconds=20)
    child.stop()
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_that_ends_instead_of_becoming_ready_is_reported_with_its_last_words() -> None:
    child = children.start("failing", ["sh", "-c", "echo out of luck; exit 3"], log=lambda _: None)
    with pytest.raises(children.ChildFailed, match=r"failing ended with status 3(.|\n)*out of luck"):
        child.wait_until(lambda: False, seconds=10)
