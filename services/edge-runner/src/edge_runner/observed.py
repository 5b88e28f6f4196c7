"""What a node measures of itself: times, tokens, queue, KV cache, memory, restarts. A registry a node, nothing global.

Names with ``gen_ai`` are those of OpenTelemetry's semantic conventions for model servers, with their buckets, as the
Prometheus format spells them; what has no name there is ``edge_``.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .domain.fit import kv_cache_bytes
from .domain.q4_k_m import NotEnoughKnown
from .engines.client import EngineRefused, EngineStopped
from .node import Holding, Node
from .traced import InferenceSpan

_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
_EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_BETWEEN = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5)
_CONVENTION = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class Meter:
    """Counts requests and their times."""

    def __init__(self, node: Node) -> None:
        self.registry = CollectorRegistry()
        self._node, self._state = node, _State(node)
        self.registry.register(self._state)
        labels = ["model", "operation"]
        self.requests = Counter(
            "edge_requests",
            "Requests by outcome: ok, gone (the client left), or what went wrong.",
            [*labels, "outcome"],
            registry=self.registry,
        )
        self.duration = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "From arrival to the last byte.",
            (*_CONVENTION, "error_type"),
            _DURATION,
        )
        self.first_token = self._histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From arrival, the queue included, to the first token of a stream.",
            _CONVENTION,
            _FIRST,
        )
        self.each_token = self._histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Mean time a token after the first, one sample a stream.",
            _CONVENTION,
            _EACH,
        )
        self.between_tokens = self._histogram(
            "edge_inter_token_seconds", "Between two chunks of a stream.", labels, _BETWEEN
        )
        self.queued = self._histogram("edge_queue_seconds", "From arrival to a slot.", labels, _FIRST)
        self.tokens = Counter("edge_tokens", "Tokens by kind.", ["model", "kind"], registry=self.registry)

    def _histogram(self, name: str, text: str, labels: "list[str] | tuple[str, ...]", buckets: Any) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    @asynccontextmanager
    async def request(self, holding: Holding, operation: str, **asked: Any) -> "AsyncIterator[Seen]":
        """Measure one request from its arrival on, as a span too; ``asked`` is what :class:`InferenceSpan` records."""
        span = InferenceSpan(operation, holding.model.id, holding.engine.name, **asked)
        seen = Seen(self, holding, operation, span)
        outcome, error_type = "ok", ""
        try:
            yield seen
            seen.finished()
        except Exception as error:
            outcome = error_type = str(getattr(error, "code", None) or type(error).__name__)
            raise
        except BaseException:  # cancelled or closed: the client has left
            outcome = error_type = "gone"
            raise
        finally:
            self.requests.labels(holding.model.id, operation, outcome).inc()
            self.duration.labels(*seen.convention, error_type).observe(time.monotonic() - seen.began)
            span.end(error_type)

    async def page(self) -> bytes:
        """The metrics in Prometheus's text format: the node's own, and those of its two ports."""
        await asyncio.gather(*(self._ask_for_kv(holding) for holding in self._node.holdings.values()))
        return generate_latest(self.registry) + generate_latest(REGISTRY)

    async def _ask_for_kv(self, holding: Holding) -> None:
        """The engine alone knows how much of its cache is taken; one that is not there says nothing."""
        self._state.kv_use.pop(holding.model.id, None)
        client = holding.supervisor.client
        if client is None:
            return
        try:
            use = holding.engine.kv_use(await client.text(holding.engine.kv_page))
        except (EngineStopped, EngineRefused, ValueError, KeyError):
            return
        if use is not None:
            self._state.kv_use[holding.model.id] = use


class Seen:
    """The times and tokens of one request."""

    def __init__(self, meter: Meter, holding: Holding, operation: str, span: InferenceSpan) -> None:
        self._meter, self._model, self._operation, self._span = meter, holding.model.id, operation, span
        self._between = meter.between_tokens.labels(self._model, operation)
        self.convention = (operation, holding.engine.name, holding.model.id)
        self.began = self._last = time.monotonic()
        self._first: float | None = None
        self._completed = 0

    def admitted(self) -> None:
        """The request has got its slot."""
        self._meter.queued.labels(self._model, self._operation).observe(time.monotonic() - self.began)

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
        if self._first is None:
            self._first = now
            self._meter.first_token.labels(*self.convention).observe(now - self.began)
            self._span.first_chunk(now - self.began)
        else:
            self._between.observe(now - self._last)
        self._last = now

    def told(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What the client gets, an answer or a chunk of one: how it says that it has ended is noted."""
        self._span.choices(answer.get("choices", ()))
        return answer

    def usage(self, usage: Mapping[str, Any] | None) -> None:
        """The engine's own count of tokens."""
        if usage:
            self._completed = usage.get("completion_tokens", 0)
            self._meter.tokens.labels(self._model, "prompt").inc(usage.get("prompt_tokens", 0))
            self._meter.tokens.labels(self._model, "completion").inc(self._completed)
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            self._meter.tokens.labels(self._model, "prompt_cached").inc(cached)
            self._span.usage(usage.get("prompt_tokens", 0), self._completed, cached)

    def finished(self) -> None:
        """The request is through, and well."""
        if self._first is not None and self._completed > 1:
            each = (self._last - self._first) / (self._completed - 1)
            self._meter.each_token.labels(*self.convention).observe(each)


class _State(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.kv_use: dict[str, float] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample a model."""
        gauges: dict[str, tuple[str, Callable[[Holding], float | None]]] = {
            "edge_queue_waiting": ("Requests in the queue.", lambda h: h.gate.waiting),
            "edge_slots_busy": ("Requests in the engine.", lambda h: h.gate.running),
            "edge_slots": ("Requests that fit at once.", lambda h: h.spec.slots),
            "edge_engine_ready": ("1 after a real generation.", lambda h: h.supervisor.status.state == "ready"),
            "edge_engine_restarts": ("Starts after the first.", lambda h: h.supervisor.status.restarts),
            "edge_engine_resident_bytes": ("Resident memory of the engine.", lambda h: h.resident_bytes()),
            "edge_engine_memory_limit_bytes": ("Its limit; 0 for none.", lambda h: h.spec.memory_limit or 0),
            "edge_kv_cache_bytes": ("Size of the KV cache.", _kv_bytes),
            "edge_kv_cache_use_ratio": (
                "Share of the KV cache that running requests have, 0 to 1.",
                lambda h: self.kv_use.get(h.model.id),
            ),
        }
        for name, (help_text, read) in gauges.items():
            family = GaugeMetricFamily(name, help_text, labels=["model"])
            for holding in self._node.holdings.values():
                if (value := read(holding)) is not None:
                    family.add_metric([holding.model.id], float(value))
            yield family
        yield GaugeMetricFamily("edge_memory_bytes", "What the node may use.", value=self._node.memory_bytes)


def _kv_bytes(holding: Holding) -> float | None:
    spec = holding.spec
    try:
        return kv_cache_bytes(holding.weights.header.architecture(), spec.context, spec.slots, spec.kv_type)
    except NotEnoughKnown:
        return None


def _has_text(chunk: Mapping[str, Any]) -> bool:
    return any(choice.get("text") or choice.get("delta", {}).get("content") for choice in chunk.get("choices", ()))
