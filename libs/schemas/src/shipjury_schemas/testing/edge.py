"""Edge nodes, what they are to hold, and what they measured."""

from typing import Any

from ..edge_benchmarked.v1 import EdgeBenchmarked
from ..edge_deployment.v1 import EdgeDeployment, WantedModel
from ..edge_node.v1 import EdgeNode, LoadedModel
from .fixed import HASH, NOON


def edge_node(**changes: Any) -> EdgeNode:
    """A node that holds the embedded model."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "node_id": "edge-1",
        "state": "ready",
        "base_url": "http://127.0.0.1:8090/v1",
        "engine": "llama.cpp b9999",
        "memory_bytes": 4 * 1024**3,
        "memory_used_bytes": 300 * 1024**2,
        "labels": {"site": "office"},
        "models": (
            LoadedModel(
                model="smollm2-135m-instruct",
                state="ready",
                context_tokens=2048,
                slots=4,
                weights_sha256=HASH,
                quantization="Q4_K_M",
                licence="Apache-2.0",
                max_logprobs=1000,
                capabilities=("chat", "completions", "logprobs"),
                tokens_per_second=80.0,
            ),
        ),
        "heartbeat_seconds": 5,
        "beat_at": NOON,
    }
    return EdgeNode(**(fields | changes))


def edge_deployment(**changes: Any) -> EdgeDeployment:
    """One model wanted on a node."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "node_id": "edge-1",
        "models": (WantedModel(model="smollm2-135m-instruct", context_tokens=2048, slots=4),),
        "deployed_at": NOON,
    }
    return EdgeDeployment(**(fields | changes))


def edge_benchmarked(**changes: Any) -> EdgeBenchmarked:
    """A measurement of the embedded model."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "benchmark_id": "edge-1:smollm2-135m-instruct",
        "node_id": "edge-1",
        "model": "smollm2-135m-instruct",
        "engine": "llama.cpp b9999",
        "time_to_first_token_ms": 20,
        "prefill_tokens_per_second": 900,
        "decode_tokens_per_second": 80,
        "resident_bytes": 300 * 1024**2,
        "measured_at": NOON,
    }
    return EdgeBenchmarked(**(fields | changes))
