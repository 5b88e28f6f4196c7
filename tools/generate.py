#!/usr/bin/env python3
"""Write the files that are made from code: schemas, examples, AsyncAPI, reference pages. `--check` only compares.

A contract's files lie under its minor version and stay there when the next one comes, so that the compatibility gate
can hold every later version against them. Where the shape of a contract changed and its minor version did not, this
says so and writes nothing; `--unreleased` overrides that for a version that nobody has installed yet.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reference import commands_page, settings_page

from shipjury_schemas.compatibility import breaks
from shipjury_schemas.documents import asyncapi, golden_example, json_schema
from shipjury_schemas.registry import CONTRACTS
from shipjury_schemas.testing import examples

ROOT = Path(__file__).resolve().parents[1]
CONTRACT_FILES = ROOT / "libs" / "schemas" / "contracts"
REFERENCE = ROOT / "docs" / "reference"


def text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def generated() -> Iterator[tuple[Path, str]]:
    for contract, example in zip(CONTRACTS, examples(), strict=True):
        folder = CONTRACT_FILES / contract.topic.name
        yield folder / f"{contract.topic.minor}.schema.json", text(json_schema(contract))
        yield folder / f"{contract.topic.minor}.example.json", text(golden_example(example))
    yield REFERENCE / "asyncapi.json", text(asyncapi())
    yield REFERENCE / "settings.md", settings_page()
    yield REFERENCE / "commands.md", commands_page()


def incompatible() -> Iterator[str]:
    """What breaks an earlier version, or changes a version's shape without a new minor version."""
    for contract in CONTRACTS:
        topic = contract.topic
        new = json_schema(contract)
        for path in sorted((CONTRACT_FILES / topic.name).glob("*.schema.json")):
            old = json.loads(path.read_text())
            minor = int(path.name.partition(".")[0])
            for sentence in breaks(old, new):
                yield f"{topic.name}: against {topic.major}.{minor}: {sentence}"
            if minor == topic.minor and (added := _added(old, new)):
                yield f"{topic.name}: {', '.join(added)} is new: raise the minor version in its Topic"


def _added(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    def fields(schema: dict[str, Any]) -> set[str]:
        parts = {"": schema, **schema.get("$defs", {})}
        return {f"{name}.{field}" for name, part in parts.items() for field in part.get("properties", {})}

    return sorted(fields(new) - fields(old))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    parser.add_argument("--unreleased", action="store_true", help="rewrite the current minor versions whatever changed")
    arguments = parser.parse_args()
    problems = [] if arguments.unreleased else list(incompatible())
    for path, wanted in generated():
        if path.exists() and path.read_text() == wanted:
            continue
        if arguments.check:
            problems.append(f"{path.relative_to(ROOT)} is not up to date: run tools/generate.py")
        elif not problems:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted)
            print(f"wrote {path.relative_to(ROOT)}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
