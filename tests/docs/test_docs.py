"""Documentation that names a command, an option, a setting, a file or a page that does not exist fails the build."""

import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from reference import SETTINGS, command_tree, load, variables  # noqa: E402

PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "services").glob("*/README.md"),
                 *(ROOT / "libs").glob("*/README.md"), *(ROOT / "deploy").rglob("README.md"))
    if ".venv" not in path.parts
)  # fmt: skip
every_page = pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
OF_THE_ENVIRONMENT = re.compile(r"\b(?:CATALOG|PANEL|VOTES|GATEWAY|EDGE|NOTIFIER)_[A-Z][A-Z0-9_]*\b")


def code(text: str) -> list[str]:
    """Fenced blocks and spans of code."""
    fenced = re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.S)
    lines = [line.partition("#")[0].strip() for block in fenced for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [piece for piece in (*lines, *spans) if piece]


@cache
def known_settings() -> frozenset[str]:
    return frozenset(name for path in SETTINGS.values() for name in variables(load(path)))


@every_page
def test_every_shipjury_command_on_the_page_exists(page: Path) -> None:
    for piece in code(page.read_text()):
        for words in re.findall(r"(?:^|\s)(?:\./)?shipjury((?:\s+[^\s|&;<>]+)+)", piece):
            problem = unknown(words.split())
            assert problem is None, f"{page.relative_to(ROOT)}: {piece}: {problem}"


def unknown(words: list[str]) -> str | None:
    """What in a call does not exist; ``None`` where everything does."""
    command = command_tree()
    while words and hasattr(command, "commands"):
        name, *words = words
        if name.startswith("-"):
            return None if name in ("--help", "--version") else f"no option {name}"
        if name in ("...", "…") or name.startswith("<"):
            return None
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    if getattr(command, "context_settings", {}).get("ignore_unknown_options"):
        return None
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--") and option not in known:
            return f"no option {option}"
    return None


@every_page
def test_every_setting_on_the_page_exists(page: Path) -> None:
    for name in OF_THE_ENVIRONMENT.findall(page.read_text()):
        assert name in known_settings(), f"{page.relative_to(ROOT)}: no setting {name}"


@every_page
def test_every_link_on_the_page_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.relative_to(ROOT)}: no file {target}"


def test_every_setting_that_compose_gives_exists() -> None:
    for name in OF_THE_ENVIRONMENT.findall((ROOT / "docker-compose.yml").read_text()):
        assert name in known_settings(), f"docker-compose.yml: no setting {name}"


def test_every_topic_that_a_page_names_exists() -> None:
    from shipjury_schemas import CONTRACTS

    topics = {contract.topic.name for contract in CONTRACTS}
    for page in PAGES:
        for name in re.findall(r"\b[a-z]+\.[a-z]+\.v\d+\b", page.read_text()):
            assert name in topics, f"{page.relative_to(ROOT)}: no topic {name}"


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "./shipjury up" in text
    assert "./shipjury test" in text
