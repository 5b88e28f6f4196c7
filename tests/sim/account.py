"""What the simulated providers would bill: their own arithmetic, in decimals, rounded once to nano-USD (half even)."""

import tomllib
from dataclasses import asdict, dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

NANO = Decimal(1_000_000_000)
MILLION = Decimal(1_000_000)
ANY = "*"


def price_list() -> dict[str, dict[str, dict[str, str]]]:
    """Prices in USD per million tokens by provider and model, from the simulator's own file."""
    return tomllib.loads(Path(__file__).with_name("prices.toml").read_text())


@dataclass
class Line:
    """One attempt. ``end`` says how it ended as the provider saw it."""

    provider: str
    attempt_id: str
    model: str
    input: int
    output: int
    cached: int
    nano_usd: int
    end: str


@dataclass
class Account:
    """All lines, oldest first."""

    prices: dict[str, dict[str, dict[str, str]]] = field(default_factory=price_list)
    lines: list[Line] = field(default_factory=list)

    def bill(self, provider: str, attempt_id: str, model: str, *, end: str, tokens: tuple[int, int, int]) -> None:
        """Add an attempt with its tokens (input, of these cached, output)."""
        given, cached, made = tokens
        listed = self.prices.get(provider, {})
        price = listed.get(model) or listed.get(ANY) or {"input": "0", "output": "0"}
        usd = (
            Decimal(given - cached) * Decimal(price["input"])
            + Decimal(cached) * Decimal(price.get("cached_input", price["input"]))
            + Decimal(made) * Decimal(price["output"])
        ) / MILLION
        nano = int((usd * NANO).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
        self.lines.append(Line(provider, attempt_id, model, given, made, cached, nano, end))

    def as_json(self) -> list[dict[str, Any]]:
        """All lines, for tests that ask over HTTP."""
        return [asdict(line) for line in self.lines]

    @property
    def total(self) -> int:
        """Everything that would be billed, in nano-USD."""
        return sum(line.nano_usd for line in self.lines)
