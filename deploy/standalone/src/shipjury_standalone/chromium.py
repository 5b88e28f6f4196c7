"""Finds the Chromium that browser tests drive; on a Debian machine where we are root, gets it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
HOW = "Debian, Ubuntu: apt install chromium; elsewhere: any Chromium, named by CHROMIUM=/path/to/chromium"


class ChromiumMissing(Exception):
    """There is no Chromium and we can't get one; the message says how."""


def find() -> Path | None:
    """Chromium as named by ``CHROMIUM``, or on the PATH."""
    named = os.environ.get("CHROMIUM")
    if named:
        return Path(named) if Path(named).exists() else None
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return Path(found) if found else None


def ensure() -> Path:
    """Chromium, installed with the system's package manager where that may be done. Raises ChromiumMissing."""
    found = find()
    if found is not None:
        return found
    if os.environ.get("CHROMIUM"):
        raise ChromiumMissing(f"CHROMIUM names {os.environ['CHROMIUM']}, which is not there.")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ChromiumMissing(f"Browser tests need Chromium, and there is none. {HOW}.")
    sys.stderr.write("Browser tests need Chromium; installing it with apt-get, about a minute.\n")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ChromiumMissing(f"apt-get could not install chromium: {done.stderr.strip()[-300:]}. {HOW}.")
    found = find()
    if found is None:
        raise ChromiumMissing(f"apt-get installed chromium, but it is not on the PATH. {HOW}.")
    return found
