"""Each lock file holds all that the packages installed from it import: tests run with everything, users don't."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = ["libs/schemas", "libs/delivery"]
SERVICES = ["catalog", "edge-runner", "inference-gateway", "notifier", "panel", "votes"]
PARTS = {name: [f"services/{name}", *LIBRARIES] for name in SERVICES} | {
    "standalone": [
        *(f"services/{name}" for name in SERVICES),
        *LIBRARIES,
        "deploy/standalone",
        "deploy/standalone/broker",
    ]
}
OURS = {source.name for source in ROOT.glob("*/*/src/*")} | {"shipjury_broker"}
ONLY_FOR_TESTS = {"testing.py", "driven.py", "test_run.py"}


def imported(folder: Path) -> dict[str, str]:
    """Top-level modules that a package's files import outside of ``try``, and a file that does; not those for tests."""
    found: dict[str, str] = {}
    for file in folder.glob("src/**/*.py"):
        if file.name in ONLY_FOR_TESTS:
            continue
        tree = ast.parse(file.read_text())
        optional = {inner for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if node in optional:
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0]: str(file) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found[node.module.partition(".")[0]] = str(file)
    return found


@pytest.mark.parametrize("lock", PARTS)
def test_a_lock_holds_all_that_its_packages_import(lock: str) -> None:
    text = (ROOT / "deploy" / "locks" / f"{lock}.lock").read_text()
    locked = {_plain(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    homes = packages_distributions()
    missing = {}
    for folder in PARTS[lock]:
        for module, file in imported(ROOT / folder).items():
            known = module in sys.stdlib_module_names or module in OURS
            if not known and not {_plain(name) for name in homes.get(module, [])} & locked:
                missing[module] = file
    assert missing == {}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
