"""What the gateway tells of calls."""

from datetime import date
from typing import Any

from ..inference_anomaly.v1 import InferenceAnomaly
from ..inference_used.v1 import InferenceUsed, Tokens
from .fixed import NOON


def inference_used(**changes: Any) -> InferenceUsed:
    """A completion on an edge node."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "entry_id": "0193a000-0000-7000-8000-0000000000c1",
        "kind": "attempt",
        "attempt_id": "0193a000-0000-7000-8000-0000000000c2",
        "request_id": "req_1",
        "organisation_id": "default",
        "project_id": "panel",
        "key_id": "key_1",
        "provider": "edge-1",
        "model": "smollm2-135m-instruct",
        "route": "/v1/completions",
        "outcome": "ok",
        "tokens": Tokens(input=32, cached_input=8, output=1),
        "cost_nano_usd": 0,
        "price_version": "edge-2026-11-20",
        "started_at": NOON,
        "duration_ms": 14,
        "usage_day": date(2026, 11, 20),
    }
    return InferenceUsed(**(fields | changes))


def inference_anomaly(**changes: Any) -> InferenceAnomaly:
    """A project that spends forty times what its baseline expects."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "anomaly_id": "0193a000-0000-7000-8000-0000000000d1",
        "project_id": "panel",
        "model": "*",
        "state": "opened",
        "observed_nano_usd_per_minute": 40_000_000,
        "expected_nano_usd_per_minute": 1_000_000,
        "throttled": False,
        "since": NOON,
    }
    return InferenceAnomaly(**(fields | changes))
