"""Provider files, checked before anything uses them: every problem with its file, line and field.

TOML readers keep no lines, so that the place of a field is looked for in the text: tables by their headers, in order.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..domain.money import Price
from .manifest_files import Manifest
from .manifests import Provider

FEATURES = frozenset(
    {"chat", "completions", "embeddings", "tools", "json_schema", "images", "logprobs", "n", "responses", "messages"}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where. ``line`` is 1 where no place in the file can be named."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field + ': ' if self.field else ''}{self.message}"

    def as_json(self) -> dict[str, Any]:
        """For problem details."""
        return asdict(self)


def check(folders: Iterable[Path]) -> list[Problem]:
    """Every problem of the provider files in these folders."""
    problems: list[Problem] = []
    for folder in folders:
        if not folder.is_dir():
            problems.append(Problem(str(folder), 1, "", "there is no such folder"))
            continue
        seen: dict[str, str] = {}
        for path in sorted(folder.glob("*.toml")):
            found, manifest = _check_file(path)
            problems += found
            if manifest is None:
                continue
            if manifest.id in seen:
                message = f"{seen[manifest.id]} has the same provider `{manifest.id}`"
                problems.append(Problem(path.name, line_of(path.read_text(encoding="utf-8"), ("id",)), "id", message))
            seen[manifest.id] = path.name
    return problems


def repriced(before: Mapping[str, Provider], after: Mapping[str, Provider]) -> list[str]:
    """Prices that were changed in place: a version that the ledger names must go on meaning what it meant."""
    held = _prices(before)
    return [
        f"{provider}: {model}: the price since {price.since} was changed in place; a new price needs a day of its own"
        for (provider, model, _), price in _prices(after).items()
        if (old := held.get((provider, model, price.version))) is not None and old != price
    ]


def _prices(providers: Mapping[str, Provider]) -> dict[tuple[str, str, str], Price]:
    return {
        (one.provider, one.model, price.version): price
        for provider in providers.values()
        for one in provider.deployments
        for price in one.prices
    }


def _check_file(path: Path) -> tuple[list[Problem], Manifest | None]:
    try:
        text = path.read_text(encoding="utf-8")
        told = tomllib.loads(text)
    except UnicodeDecodeError as error:
        return [Problem(path.name, 1, "", f"the file is not UTF-8: {error.reason}")], None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        return [Problem(path.name, int(place[1]) if place else 1, "", str(error))], None
    try:
        manifest = Manifest.model_validate(told)
    except ValidationError as error:
        return [
            Problem(path.name, line_of(text, one["loc"]), ".".join(map(str, one["loc"])), one["msg"])
            for one in error.errors(include_url=False, include_input=False)
        ], None
    return [
        Problem(path.name, line_of(text, where), ".".join(map(str, where)), what) for where, what in _odd(manifest)
    ], (manifest)


def _odd(manifest: Manifest) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """What the fields allow by themselves and what makes no sense together."""
    ids: set[str] = set()
    for unknown in sorted(set(manifest.features) - FEATURES):
        yield ("features",), f"`{unknown}` is no feature; there are {', '.join(sorted(FEATURES))}"
    for number, model in enumerate(manifest.models):
        if model.id in ids:
            yield ("models", number, "id"), f"`{model.id}` is there twice"
        ids.add(model.id)
        for unknown in sorted(set(model.features or ()) - FEATURES):
            yield ("models", number, "features"), f"`{unknown}` is no feature"
        days = [price.since for price in model.prices]
        for at, day in enumerate(days):
            if day in days[:at]:
                yield ("models", number, "prices", at, "since"), f"two prices since {day}"


def line_of(text: str, location: Iterable[str | int]) -> int:
    """The line of a field such as ``("models", 2, "prices", 0, "input")``; of its table where it is missing."""
    path = list(location)
    lines = text.splitlines()
    here = 0
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    if "[[" + str(path[0]) not in text and len(path) > 1 and isinstance(path[1], int):
        del path[1]  # one table where there may be several
    wanted = _table_of(path)
    for number, line in enumerate(lines, start=1):
        header = re.match(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"-]+)\s*\]\]?", line)
        if header:
            table = _entered(header[2].replace('"', ""), header[1] == "[[", counts)
            if table == tuple(path[: len(table)]):
                here = number
            continue
        key = re.match(r"\s*\"?([A-Za-z0-9_-]+)\"?\s*=", line)
        if key and (*table, key[1]) == tuple(path[: len(table) + 1]) and len(table) >= len(wanted):
            return number
    return max(here, 1)


def _table_of(path: list[str | int]) -> list[str | int]:
    """The part of a path that headers spell: up to the last number."""
    last = max((at for at, part in enumerate(path) if isinstance(part, int)), default=-1)
    return path[: last + 1] if last + 1 < len(path) else path[:-1]


def _entered(name: str, repeated: bool, counts: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """The table that a header begins, with the numbers of the repeated tables that it lies in."""
    table: tuple[str | int, ...] = ()
    parts = name.split(".")
    for at, part in enumerate(parts):
        table = (*table, part)
        if at == len(parts) - 1 and repeated:
            counts[table] = counts.get(table, -1) + 1
        if table in counts:
            table = (*table, counts[table])
    return table
