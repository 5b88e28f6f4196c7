"""What an engine leaves on the disk goes with it, and it has a place to write where the host has none."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edge_runner.leash import places

SAYS = "import os, pathlib, tempfile, time; "
SAYS += "folder = tempfile.gettempdir(); pathlib.Path(folder, 'socket').touch(); print(folder, os.environ['HOME'], "
SAYS += "flush=True); time.sleep(float(os.environ['FOR']))"


def leashed(tmp_path: Path, **env: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "edge_runner.leash", "--parent", str(os.getpid()), "--port", "1"]
    argv += ["--folder", str(tmp_path / "state"), "--", sys.executable, "-c", SAYS]
    return subprocess.Popen(argv, env=os.environ | env, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("asked", [True, False])
def test_the_temporary_folder_of_an_engine_is_gone_when_it_has_ended(tmp_path: Path, asked: bool) -> None:
    leash = leashed(tmp_path, FOR="60" if asked else "0")
    assert leash.stderr is not None
    folder = Path(leash.stderr.readline().split()[0])
    assert folder.name.startswith("edge-")
    if asked:
        assert (folder / "socket").exists()
        leash.send_signal(signal.SIGTERM)
    assert leash.wait(20) == 0
    until = time.monotonic() + 5
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()


def test_a_home_that_is_not_there_is_made_in_the_folder_of_the_node(tmp_path: Path) -> None:
    leash = leashed(tmp_path, FOR="0", HOME="/nonexistent")
    assert leash.stderr is not None
    home = Path(leash.stderr.readline().split()[1])
    assert leash.wait(20) == 0
    assert home == tmp_path / "state" / "home"
    assert home.is_dir(), "what it compiled is there the next time"


def test_without_tmp_it_is_the_folder_of_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    with places(tmp_path) as env:
        assert Path(env["TMPDIR"]).parent == tmp_path
    assert not Path(env["TMPDIR"]).exists()


def test_where_nothing_can_be_written_nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    monkeypatch.setenv("HOME", "/nonexistent")
    file = tmp_path / "file"
    file.touch()
    for folder in (file, None):
        with places(folder) as env:
            assert env == {}
