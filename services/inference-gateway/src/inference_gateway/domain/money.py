"""Prices and what an attempt costs: exact decimals in, integer nano-USD out, rounded once.

A price is USD per million tokens, as lists state it; one nano-USD is a billionth of a US dollar. A tenth of a nano a
token exists in real price lists, so nothing is rounded before the sum (half to even).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

_NANO_PER_TOKEN = 1000  # 1 USD per million tokens is 1,000 nano-USD a token


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one attempt. ``cached_input`` is part of ``input``."""

    input: int
    output: int
    cached_input: int = 0

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price from a day on. ``version`` names the list and its date, such as ``groq/2026-11-10``."""

    input: Fraction
    output: Fraction
    version: str
    since: date = date.min
    cached_input: Fraction | None = None
    _scaled: tuple[int, int, int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.input < 0 or self.output < 0 or (self.cached_input is not None and self.cached_input < 0):
            raise ValueError(f"price {self.version} is negative")
        parts = [part * _NANO_PER_TOKEN for part in (self.input, self.cached, self.output)]
        scale = 1
        for part in parts:
            scale = scale * part.denominator // _gcd(scale, part.denominator)
        fresh, cached, output = (int(part * scale) for part in parts)
        object.__setattr__(self, "_scaled", (fresh, cached, output, scale))

    @property
    def cached(self) -> Fraction:
        """Price of a cached input token: the input price where the list has no other."""
        return self.input if self.cached_input is None else self.cached_input

    def cost(self, tokens: Tokens) -> int:
        """Cost in nano-USD, exact and rounded once, half to even."""
        fresh, cached, output, scale = self._scaled
        total = (tokens.input - tokens.cached_input) * fresh + tokens.cached_input * cached + tokens.output * output
        return round_half_even(total, scale)

    def exact(self, tokens: Tokens) -> Fraction:
        """Cost in nano-USD before rounding: what prices are compared by."""
        fresh, cached, output, scale = self._scaled
        total = (tokens.input - tokens.cached_input) * fresh + tokens.cached_input * cached + tokens.output * output
        return Fraction(total, scale)

    def bound(self, tokens: Tokens) -> int:
        """Most that these tokens can cost in nano-USD, however many of the input turn out to be cached."""
        fresh, cached, output, scale = self._scaled
        return -(-(tokens.input * max(fresh, cached) + tokens.output * output) // scale)


def round_half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded to the nearest integer, ties to even; both not negative."""
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder * 2
    if twice > denominator or (twice == denominator and quotient % 2):
        quotient += 1
    return quotient


def price_on(prices: Sequence[Price], day: date) -> Price | None:
    """The price that holds on a day: the latest that has begun. ``None`` is *unpriced*, which is not zero."""
    latest: Price | None = None
    for price in prices:
        if price.since <= day and (latest is None or price.since > latest.since):
            latest = price
    return latest


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a
