"""The import rules name every subscriber of every service, so that none escapes them."""

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_import_rules_name_every_subscriber() -> None:
    rules = ConfigParser()
    rules.read(ROOT / ".importlinter")
    named = rules["importlinter:contract:rooms"]["layers"]
    subscribers = {file.stem for file in ROOT.glob("services/*/src/*/on_*.py")}
    assert subscribers
    assert {name for name in subscribers if f"({name})" not in named} == set()
