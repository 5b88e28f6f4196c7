"""What a provider says that an attempt used, and what follows for the bill. Pure.

Where the provider's words are missing or make no sense, the end of the attempt was not seen: it is *uncertain*, and
costs its upper bound until somebody knows better.
"""

from dataclasses import dataclass
from typing import Any, Literal

from .money import Price, Tokens

Outcome = Literal["ok", "error", "client_gone", "cut", "timeout", "uncertain"]


@dataclass(frozen=True, slots=True)
class Bill:
    """An attempt's line in the ledger: outcome, why, tokens, cost in nano-USD (``None``: unpriced)."""

    outcome: Outcome
    reason: str | None
    tokens: Tokens | None
    nano_usd: int | None


def tokens_of(usage: Any) -> Tokens | None:
    """Tokens of an OpenAI `usage` object; ``None`` where it is missing or makes no sense."""
    if not isinstance(usage, dict):
        return None
    given, made = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    cached = cached or 0
    if type(given) is not int or type(made) is not int or type(cached) is not int:  # true and false are no numbers
        return None
    if made < 0 or not 0 <= cached <= given:
        return None
    return Tokens(input=given, output=made, cached_input=cached)


def bill(
    price: Price | None,
    bound_nano_usd: int | None,
    *,
    ended: Literal["answered", "cut", "client_gone", "refused", "not_sent", "lost", "timeout"],
    tokens: Tokens | None,
    reason: str | None = None,
) -> Bill:
    """What an attempt costs, by how it ended.

    ``answered``, ``cut`` and ``client_gone`` cost what the provider reported; ``refused`` (an HTTP error) and
    ``not_sent`` (no connection) cost nothing; ``lost`` and ``timeout``, and everything without a report, are
    uncertain.
    """
    if ended in ("refused", "not_sent"):
        return Bill("error", reason or ended, None, None if price is None else 0)
    if tokens is None:
        return Bill("uncertain", reason or (ended if ended != "answered" else "usage_missing"), None, bound_nano_usd)
    outcome: Outcome = "ok"
    if ended in ("cut", "client_gone", "timeout"):
        outcome = ended
    elif ended == "lost":
        outcome = "cut"
    return Bill(outcome, reason, tokens, None if price is None else price.cost(tokens))
