"""Numbers and moments as people read them; money stays exact."""

from datetime import datetime
from decimal import Decimal

UNITS = {"nano_usd": "money", "tokens": "tokens", "requests": "requests", "concurrency": "at once"}


def money(nano_usd: int) -> str:
    """US dollars, exact: two digits after the point, and as many more as the amount has."""
    sign = "\N{MINUS SIGN}" if nano_usd < 0 else ""
    whole, _, rest = f"{Decimal(abs(nano_usd)) / 10**9:,.9f}".partition(".")
    return f"{sign}${whole}.{rest.rstrip('0').ljust(2, '0')}"


def count(number: int | float) -> str:
    """A count, with its thousands apart."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.1f}".removesuffix(".0")


def amount(metric: str, number: int | None) -> str:
    """An amount of a budget's metric."""
    if number is None:
        return "not known"
    return money(number) if metric == "nano_usd" else count(number)


def moment(at: datetime | None) -> str:
    """A moment in UTC, to the minute."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def share(part: int, whole: int) -> str:
    """A share in percent."""
    return "" if whole <= 0 else f"{100 * part / whole:.1f}%"
