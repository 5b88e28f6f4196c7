"""Budgets: what is counted, for whom, in which window, and what a request charges to each.

A budget counts from when it was made. Its counter lives in the window in which the request was admitted, so that a
reservation is released to where it was taken from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from .errors import GatewayError
from .money import Tokens

Scope = Literal["organisation", "project", "key"]
Metric = Literal["nano_usd", "tokens", "requests", "concurrency"]
Window = Literal["minute", "day", "month", "total"]
MAX_LIMIT = 2**61
"""Redis counts in 64 bits; a limit and one reservation above it stay below 2**63."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on one metric, for one organisation, project or key, per window. ``limit`` is an integer."""

    id: str
    scope: Scope
    scope_id: str
    metric: Metric
    window: Window
    limit: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What one attempt takes from one budget: its counter, the amount, and for how long the counter is kept (s)."""

    budget: Budget
    counter: str
    amount: int
    keep_s: int


def window_id(window: Window, at: datetime) -> str:
    """Name of the window that a moment (UTC) lies in."""
    if window == "minute":
        return f"{at.year:04}{at.month:02}{at.day:02}T{at.hour:02}{at.minute:02}"
    if window == "day":
        return f"{at.year:04}{at.month:02}{at.day:02}"
    return f"{at.year:04}{at.month:02}" if window == "month" else "total"


def window_start(window: Window, at: datetime) -> datetime | None:
    """When the window that a moment lies in began; ``None`` for a total."""
    if window == "minute":
        return at.replace(second=0, microsecond=0)
    if window == "day":
        return at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) if window == "month" else None


def window_end(window: Window, at: datetime) -> datetime | None:
    """When the window that a moment lies in ends, and the budget resets; ``None`` for a total."""
    start = window_start(window, at)
    if start is None:
        return None
    if window == "minute":
        return start + timedelta(minutes=1)
    if window == "day":
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)


KEEP_S = {"minute": 3_600, "day": 3 * 86_400, "month": 40 * 86_400, "total": 0}
"""How long a counter is kept, in seconds, from its first use; 0 is for ever."""


def charges(
    budgets: Iterable[Budget],
    prefix: str,
    *,
    bound_nano_usd: int | None,
    bound: Tokens | None,
    first_attempt: bool,
    at: datetime,
) -> tuple[Charge, ...]:
    """What an attempt reserves from each budget.

    Raises ``unbounded_cost`` where a budget on money or tokens applies and the request has no upper bound. A model
    without a price (``bound_nano_usd`` is ``None`` though ``bound`` is not) takes nothing from money budgets; that it
    may be called at all was the plan's decision.
    """
    taken: list[Charge] = []
    for budget in budgets:
        if budget.metric == "nano_usd" or budget.metric == "tokens":
            if bound is None:
                raise GatewayError(
                    "unbounded_cost",
                    "a budget applies to this key, and neither `max_tokens` nor the model bounds the answer's length",
                    param="max_tokens",
                )
            amount = (bound_nano_usd or 0) if budget.metric == "nano_usd" else bound.total
        else:
            amount = 1 if budget.metric == "concurrency" or first_attempt else 0
        if amount > MAX_LIMIT:
            raise GatewayError("unbounded_cost", "the request's bound is beyond any budget", param="max_tokens")
        window: Window = "total" if budget.metric == "concurrency" else budget.window
        taken.append(Charge(budget, f"{prefix}{budget.id}:{window_id(window, at)}", amount, KEEP_S[window]))
    return tuple(taken)


def actual_amount(charge: Charge, nano_usd: int | None, tokens: int | None) -> int:
    """What an ended attempt really took; where it is not known, what was reserved."""
    if charge.budget.metric == "nano_usd":
        return charge.amount if nano_usd is None else nano_usd
    if charge.budget.metric == "tokens":
        return charge.amount if tokens is None else tokens
    return 0 if charge.budget.metric == "concurrency" else charge.amount


def exceeded(budget: Budget, used: int, asked: int, at: datetime) -> GatewayError:
    """The refusal of a budget: what is left, what was asked for, when it resets."""
    end = window_end(budget.window, at) if budget.metric != "concurrency" else None
    left = max(0, budget.limit - used)
    retry = max(1.0, (end - at).total_seconds()) if end else None
    if budget.metric == "concurrency":
        retry = 1.0
    amounts = f"{left} of {budget.limit} left, at most {asked} needed"
    if budget.metric == "nano_usd":
        amounts = f"${left / 1e9:.6f} of ${budget.limit / 1e9:.6f} left, up to ${asked / 1e9:.6f} needed"
    resets = end.astimezone(UTC).isoformat().replace("+00:00", "Z") if end else None
    return GatewayError(
        "budget_exceeded" if budget.metric == "nano_usd" else "rate_limit_exceeded",
        f"the {budget.scope}'s {budget.metric} budget per {budget.window} is used up: {amounts}"
        + (f"; it resets at {resets}" if resets else ""),
        retry_after_s=retry,
        extra={
            "budget": {
                "id": budget.id,
                "scope": budget.scope,
                "metric": budget.metric,
                "window": budget.window,
                "limit": budget.limit,
                "left": left,
                "asked": asked,
                "resets_at": resets,
            }
        },
    )
