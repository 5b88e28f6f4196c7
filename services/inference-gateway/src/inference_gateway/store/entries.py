"""An attempt as Redis carries it between the request path and the ledger: facts when it begins, outcome when it ends.

Short names, since every request writes them. Moments are RFC 3339 in UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from ..domain.usage import Bill


@dataclass(slots=True)
class Facts:
    """What is known of an attempt when it begins. ``counters`` are (key, metric, amount, seconds kept) of its
    charges: what is needed to undo them without the process that made them."""

    attempt_id: str
    request_id: str
    first: bool
    organisation_id: str
    project_id: str
    key_id: str
    cost_centre: str | None
    end_user: str | None
    provider: str
    model: str
    route: str
    started_at: datetime
    price_version: str | None
    bound_nano_usd: int | None
    counters: tuple[tuple[str, str, int, int], ...]
    explanation: dict[str, Any] | None
    traceparent: str | None = None
    prompt_hash: str | None = None

    def encode(self) -> bytes:
        """As JSON."""
        return _fitted(
            {
                "attempt": self.attempt_id,
                "request": self.request_id,
                "first": self.first,
                "org": self.organisation_id,
                "project": self.project_id,
                "key": self.key_id,
                "cc": self.cost_centre,
                "user": self.end_user,
                "provider": self.provider,
                "model": self.model,
                "route": self.route,
                "at": self.started_at,
                "price": self.price_version,
                "bound": self.bound_nano_usd,
                "counters": self.counters,
                "plan": self.explanation,
                "trace": self.traceparent,
                "hash": self.prompt_hash,
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> "Facts":
        """The facts in what :meth:`encode` wrote."""
        told = orjson.loads(raw)
        return cls(
            attempt_id=told["attempt"],
            request_id=told["request"],
            first=told["first"],
            organisation_id=told["org"],
            project_id=told["project"],
            key_id=told["key"],
            cost_centre=told["cc"],
            end_user=told["user"],
            provider=told["provider"],
            model=told["model"],
            route=told["route"],
            started_at=datetime.fromisoformat(told["at"]),
            price_version=told["price"],
            bound_nano_usd=told["bound"],
            counters=tuple(map(tuple, told["counters"])),
            explanation=told["plan"],
            traceparent=told.get("trace"),
            prompt_hash=told.get("hash"),
        )


def encode_outcome(
    bill: Bill, *, usage: Any, upstream_request_id: str | None, duration_ms: int, ttft_ms: int | None
) -> bytes:
    """How an attempt ended, as JSON."""
    tokens = bill.tokens
    return _fitted(
        {
            "outcome": bill.outcome,
            "reason": bill.reason,
            "cost": bill.nano_usd,
            "tokens": None if tokens is None else (tokens.input, tokens.cached_input, tokens.output),
            "usage": usage,
            "upstream": upstream_request_id,
            "ms": duration_ms,
            "ttft": ttft_ms,
        }
    )


def _fitted(value: Any) -> bytes:
    """As JSON, in as much memory as it needs: behind what orjson wrote it leaves kilobytes of room, and entries are
    kept by the thousand."""
    return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_UTC_Z)))
