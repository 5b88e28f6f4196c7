"""A node as containers run it: not as root, nothing writable but one folder; deployed to, healthy, graceful."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runner.domain.holdings import Desired, Wanted
from edge_runner.holding import Book

from . import tiny
from .conftest import MODEL, RunningNode, free_port

pytestmark = pytest.mark.timeout(300)

VOLUME = Path("/mnt")

# Namespaces of its own: the volume is bound to /mnt, all else becomes read-only, then the process is user 10001 and has
# no capability. It works for whoever runs the tests, and wherever their Python lies.
ENCLOSED = """
set -e
mount --make-rprivate / && mount --bind "$1" /mnt
while read -r _ target _ options _; do
  case "$options,$target" in rw*,/mnt|rw*,/proc*|rw*,/sys*|rw*,/dev*|ro*) continue ;; esac
  mount -o remount,bind,ro "$target"
done < /proc/self/mounts
mount -o "remount,bind,$2" /dev/shm
shift 2
exec unshare --user --map-user=10001 --map-group=10001 -- "$@"
"""


@contextlib.contextmanager
def enclosed(volume: Path, model: str, log: Path, shm: str = "ro", **settings: str) -> Iterator[RunningNode]:
    """A node in there, with a home that is not there; ``shm`` says how ``/dev/shm`` is mounted."""
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ENCLOSED, "sh", str(volume), shm]
    port, operator_port = free_port(), free_port()
    given = settings | {"public_port": str(port), "operator_port": str(operator_port)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", "edge_runner", "serve", model],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "PYTHONDONTWRITEBYTECODE": "1",
                **{f"EDGE_{name.upper()}": value for name, value in given.items()},
            },
            cwd="/",
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield RunningNode(process, port, operator_port, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def hold_to_one_folder(process: int) -> None:
    """No capability, user 10001, and one writable mount."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    assert int(status["CapEff"], 16) == 0
    assert Path(f"/proc/{process}/uid_map").read_text().split()[0] == "10001"
    mounts = Path(f"/proc/{process}/mounts").read_text().splitlines()
    writable = {line.split()[1] for line in mounts if line.split()[3].startswith("rw")}
    assert {one for one in writable if not one.startswith(("/proc", "/sys", "/dev"))} == {str(VOLUME)}


def test_a_node_needs_no_root_and_writes_to_its_one_folder_only(tmp_path: Path) -> None:
    volume, log = tmp_path / "volume", tmp_path / "node.log"
    tiny.model_list(volume, a="")
    models = volume / "models.toml"
    models.write_text(models.read_text().replace(str(volume), str(VOLUME)))
    Book(volume, "node-1").keep(Desired(2, (Wanted("a"),)))
    before = (volume / ".node-node-1.json").stat().st_mtime
    given = tiny.settings(VOLUME, model_list=str(VOLUME / "models.toml"), memory=tiny.memory_for(2), node_id="node-1")
    with enclosed(volume, "a", log, **given) as node:
        node.wait_ready(200)
        hold_to_one_folder(node.process.pid)
        answer = node.post("/completions", model="a", prompt="one", max_tokens=2)
        assert answer.status_code == 200, answer.text
        assert node.readyz().json()["generation"] == 2
        assert "state_not_kept" not in log.read_text()
        kept = Book(volume, "node-1")
        assert kept.desired is not None
        assert kept.desired.generation == 2
        assert (volume / ".node-node-1.json").stat().st_mtime > before
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_vllm_needs_no_other_folder_and_leaves_nothing_temporary_there(tmp_path: Path) -> None:
    """``-m slow``, with ``EDGE_VLLM`` and ``EDGE_VLLM_MODELS`` as in ``test_vllm_life.py``."""
    volume, log = tmp_path / "volume", tmp_path / "node.log"
    shutil.copytree(Path(os.environ["EDGE_VLLM_MODELS"]) / MODEL / "safetensors", volume / MODEL / "safetensors")
    given = {"models_dir": str(VOLUME), "vllm": os.environ["EDGE_VLLM"], "engine": "vllm", "slots": "2", "threads": "1"}
    # Its processes talk through /dev/shm, which a container has besides.
    with enclosed(volume, MODEL, log, shm="rw", ready_seconds="600", node_id="node-1", **given) as node:
        node.wait_ready(600)
        hold_to_one_folder(node.process.pid)
        answer = node.post("/completions", model=MODEL, prompt="one", max_tokens=2)
        assert answer.status_code == 200, answer.text
        assert [one.name for one in volume.glob("edge-*")], "its temporary folder: there is no other"
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(60) == 0
    assert not list(volume.glob("edge-*"))
