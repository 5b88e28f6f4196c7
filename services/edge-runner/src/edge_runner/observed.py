"""What a node measures of itself: times, tokens, queue, memory, restarts. One registry a node, nothing global."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .node import Holding, Node

_FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BETWEEN = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5)


class Meter:
    """Counts requests and their times."""

    def __init__(self, node: Node) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_State(node))
        labels = ["model", "operation"]
        self.requests = Counter("edge_requests", "Requests by outcome.", [*labels, "outcome"], registry=self.registry)
        self.first_token = Histogram(
            "edge_time_to_first_token_seconds",
            "From admission to the first token of a stream.",
            labels,
            buckets=_FIRST,
            registry=self.registry,
        )
        self.between_tokens = Histogram(
            "edge_inter_token_seconds", "Between chunks of a stream.", labels, buckets=_BETWEEN, registry=self.registry
        )
        self.tokens = Counter("edge_tokens", "Tokens by kind.", ["model", "kind"], registry=self.registry)

    @asynccontextmanager
    async def request(self, holding: Holding, operation: str) -> "AsyncIterator[Seen]":
        """Measure one request from its admission on."""
        seen = Seen(self, holding.model.id, operation)
        outcome = "error"
        try:
            yield seen
            outcome = "ok"
        except Exception:
            raise
        except BaseException:  # cancelled or closed: the client has left
            outcome = "gone"
            raise
        finally:
            self.requests.labels(holding.model.id, operation, outcome).inc()

    def page(self) -> bytes:
        """The metrics in Prometheus's text format: the node's own, and those of its two ports."""
        return generate_latest(self.registry) + generate_latest(REGISTRY)


class Seen:
    """The times and tokens of one request."""

    def __init__(self, meter: Meter, model: str, operation: str) -> None:
        self._meter, self._model, self._operation = meter, model, operation
        self._last = time.monotonic()
        self._begun = False

    async def chunks(self, chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a stream, as they come by."""
        async for chunk in chunks:
            self._chunk(chunk)
            yield chunk

    def _chunk(self, chunk: Mapping[str, Any]) -> None:
        """A chunk of a stream was received."""
        self.usage(chunk.get("usage"))
        if not _has_text(chunk):
            return
        now = time.monotonic()
        histogram = self._meter.between_tokens if self._begun else self._meter.first_token
        histogram.labels(self._model, self._operation).observe(now - self._last)
        self._begun, self._last = True, now

    def usage(self, usage: Mapping[str, Any] | None) -> None:
        """The engine's own count of tokens."""
        if usage:
            self._meter.tokens.labels(self._model, "prompt").inc(usage.get("prompt_tokens", 0))
            self._meter.tokens.labels(self._model, "completion").inc(usage.get("completion_tokens", 0))


class _State(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample a model."""
        gauges: dict[str, tuple[str, Callable[[Holding], float]]] = {
            "edge_queue_waiting": ("Requests in the queue.", lambda h: h.gate.waiting),
            "edge_slots_busy": ("Requests in the engine.", lambda h: h.gate.running),
            "edge_slots": ("Requests that fit at once.", lambda h: h.spec.slots),
            "edge_engine_ready": ("1 after a real generation.", lambda h: h.supervisor.status.state == "ready"),
            "edge_engine_restarts": ("Starts after the first.", lambda h: h.supervisor.status.restarts),
            "edge_engine_resident_bytes": ("Resident memory of the engine.", lambda h: h.resident_bytes()),
            "edge_engine_memory_limit_bytes": ("Its limit; 0 for none.", lambda h: h.spec.memory_limit or 0),
        }
        for name, (help_text, read) in gauges.items():
            family = GaugeMetricFamily(name, help_text, labels=["model"])
            for holding in self._node.holdings.values():
                family.add_metric([holding.model.id], float(read(holding)))
            yield family


def _has_text(chunk: Mapping[str, Any]) -> bool:
    return any(choice.get("text") or choice.get("delta", {}).get("content") for choice in chunk.get("choices", ()))
