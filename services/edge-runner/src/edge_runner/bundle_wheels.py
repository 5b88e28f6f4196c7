"""Collects the wheels of the runner and of all that it needs, for this machine's Python: those that the lock pins.

Others' wheels are downloaded by pip, which holds each against its hashes in the lock; ours are built here. Where there
is no checkout to take the lock and our sources from, a folder of wheels is used as it is.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_AT_ONCE = 4
_OURS = ("libs/schemas", "libs/delivery", "services/edge-runner")
_WHEEL = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")


class NoWheels(Exception):
    """The wheels could not be got; the text says why and what to do."""


def collect(target: Path, given: Path | None) -> list[Path]:
    """The wheels, by name. ``given`` is a folder that has them already. Raises :class:`NoWheels`."""
    target.mkdir(parents=True)
    if given is not None:
        for wheel in given.glob("*.whl"):
            shutil.copy(wheel, target)
    else:
        root = checkout()
        if root is None:
            raise NoWheels("there is no checkout here to build from: name a folder of wheels with --wheels")
        _download(root / "deploy" / "locks" / "edge-runner.lock", target)
        _build(root, target)
    wheels = sorted(target.glob("*.whl"))
    if not any(wheel.name.startswith("shipjury_edge_runner-") for wheel in wheels):
        raise NoWheels(f"{given or target}: no wheel of shipjury-edge-runner is there")
    return wheels


def checkout() -> Path | None:
    """The checkout that this file is in, where it is in one."""
    root = Path(__file__).resolve().parents[4]
    return root if (root / "deploy" / "locks" / "edge-runner.lock").is_file() else None


def requirement(wheel: Path) -> str:
    """``name==version``. Raises :class:`NoWheels` for a file name that is no wheel's."""
    found = _WHEEL.fullmatch(wheel.name)
    if found is None:
        raise NoWheels(f"{wheel.name} is no wheel's name")
    return f"{found['name'].replace('_', '-')}=={found['version']}"


def _download(lock: Path, target: Path) -> None:
    """Several pips at once: most of their time they wait for the index."""
    pip = _pip(target)
    blocks = [block for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock.read_text()) if "==" in block]
    options = [line for line in lock.read_text().splitlines() if line.startswith("--")]
    parts = []
    for number in range(_AT_ONCE):
        part = target / f".part-{number}.txt"
        part.write_text("\n".join([*options, *blocks[number::_AT_ONCE]]) + "\n")
        parts.append(part)

    def get(part: Path) -> None:
        arguments = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(target)]
        _run([*pip, "download", *arguments, "--requirement", str(part)])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(get, parts))


def _pip(target: Path) -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    environment = target / ".pip"
    _run([sys.executable, "-m", "venv", str(environment)])
    return [str(environment / "bin" / "python"), "-m", "pip"]


def _build(root: Path, target: Path) -> None:
    """With the build backend that is installed, else with pip, which gets it. Both write the same bytes each time."""
    for place in _OURS:
        if importlib.util.find_spec("hatchling") is not None:
            _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)], root / place)
        else:
            _run([*_pip(target), "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(root / place)])


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoWheels(f"{' '.join(command[2:4])}: {(done.stderr or done.stdout).strip()[-500:]}")
