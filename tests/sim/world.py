"""The simulated providers, as `providers.toml` describes them."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Provider:
    """How one provider behaves; each field's meaning stands at the top of `providers.toml`."""

    id: str
    root: str = "/v1"
    auth: str = "bearer"
    key: str = ""
    secret: str = ""
    errors: str = "openai"
    models: tuple[str, ...] = ()
    embeds: tuple[str, ...] = ()
    takes: frozenset[str] = frozenset()
    rejects: frozenset[str] = frozenset()
    unknown: str = "reject"
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)
    max_logprobs: int = 0
    schema: str = "openai"
    usage: str = "asked"
    quirk: str = ""
    limits: str = ""
    bills_cancelled: str = "whole"
    reasoning: tuple[str, ...] = ()
    completions: bool = False


def providers(path: Path | None = None) -> dict[str, Provider]:
    """All providers by id."""
    tables = tomllib.loads((path or Path(__file__).with_name("providers.toml")).read_text())
    return {name: _provider(name, table) for name, table in tables.items()}


def _provider(name: str, table: dict[str, Any]) -> Provider:
    values = dict(table)
    for key in ("takes", "rejects"):
        values[key] = frozenset(values.get(key, ()))
    for key in ("models", "embeds", "reasoning"):
        values[key] = tuple(values.get(key, ()))
    values["only"] = {key: tuple(allowed) for key, allowed in values.get("only", {}).items()}
    return Provider(id=name, **values)
