"""``shipjury test``: every test that needs no container engine, the browser's included."""

import os
import subprocess
import sys
from pathlib import Path

from . import chromium

LEFT_OUT = "not containers and not slow"


def run_tests(root: Path, arguments: list[str]) -> int:
    """Run pytest on the repository, or on what the arguments name. Returns pytest's exit status."""
    environment = dict(os.environ)
    names_files = any(not argument.startswith("-") for argument in arguments)
    if _drives_a_browser(root, arguments, names_files):
        try:
            environment["CHROMIUM"] = str(chromium.ensure())
        except chromium.ChromiumMissing as missing:
            sys.stderr.write(f"shipjury: {missing}\n")
            return 3
    chosen = [] if "-m" in arguments else ["-m", LEFT_OUT]
    command = [sys.executable, "-m", "pytest", *chosen, *_side_by_side(arguments, names_files), *arguments]
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def _side_by_side(arguments: list[str], names_files: bool) -> list[str]:
    """Options for a run of everything: files side by side, since most tests wait more than they compute."""
    if names_files or any(argument.startswith("-") for argument in arguments):
        return []
    return ["-n", "3", "--dist", "loadfile"]


def _drives_a_browser(root: Path, arguments: list[str], names_files: bool) -> bool:
    if not (root / "tests" / "browser").exists():
        return False
    return not names_files or any("browser" in argument for argument in arguments)
