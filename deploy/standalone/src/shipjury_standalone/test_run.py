"""``shipjury test``: every test that needs no container engine, the browser's included."""

import os
import subprocess
import sys
from pathlib import Path

from . import chromium

LEFT_OUT = "not containers and not slow and not clients"


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
    if arguments:
        runs = [[*([] if "-m" in arguments else ["-m", LEFT_OUT]), *arguments]]
    else:
        # Most tests wait more than they compute, so their files run side by side; the browser's have a process of their
        # own, since Playwright keeps an event loop running in it.
        runs = [
            ["-n", "3", "--dist", "loadfile", "-m", f"{LEFT_OUT} and not browser"],
            ["-m", "browser", "tests/browser"],
        ]
    return max(
        subprocess.run([sys.executable, "-m", "pytest", *run], cwd=root, env=environment, check=False).returncode
        for run in runs
    )


def _drives_a_browser(root: Path, arguments: list[str], names_files: bool) -> bool:
    if not (root / "tests" / "browser").exists():
        return False
    return not names_files or any("browser" in argument for argument in arguments)
