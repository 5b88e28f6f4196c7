"""A span for each attempt, by OpenTelemetry's semantic conventions for generative AI, with what it cost.

The attributes are the conventions' (`gen_ai.*`, version 1.37); cost has none there and is ours (`shipjury.*`). Nothing
that a person wrote is in a span. The span is made when the attempt has ended: the request path pays nothing for it
where no exporter is set up.
"""

import time

import orjson
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from shipjury_delivery.telemetry import tracer

from ..domain.catalogue import Deployment
from ..domain.usage import Bill
from ..store.admission import Reservation
from .answers import End

_OPERATIONS = {
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
}
"""Names of `gen_ai.provider.name` that differ from ours."""


def record(reservation: Reservation, deployment: Deployment, end: End, bill: Bill, started: float) -> None:
    """Record an attempt that began at ``started`` (monotonic, s) and ends now, below the current span."""
    if not _exported():
        return
    now, lasted = time.time_ns(), time.monotonic() - started
    operation = _OPERATIONS.get(orjson.loads(reservation.facts)["route"], "chat")
    attributes: dict[str, str | int | float] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _PROVIDERS.get(deployment.provider, deployment.provider),
        "gen_ai.request.model": deployment.name,
        "gen_ai.response.model": deployment.model,
        "shipjury.attempt.id": reservation.attempt_id,
        "shipjury.outcome": bill.outcome,
    }
    if bill.tokens is not None:
        attributes["gen_ai.usage.input_tokens"] = bill.tokens.input
        attributes["gen_ai.usage.output_tokens"] = bill.tokens.output
        attributes["shipjury.usage.cached_input_tokens"] = bill.tokens.cached_input
    if bill.nano_usd is not None:
        attributes["shipjury.cost.nano_usd"] = bill.nano_usd
    if end.upstream_id is not None:
        attributes["gen_ai.response.id"] = end.upstream_id
    if end.ttft_s is not None:
        attributes["shipjury.time_to_first_token"] = end.ttft_s
    if bill.outcome != "ok":
        attributes["error.type"] = end.reason or bill.reason or bill.outcome
    span = tracer("gateway").start_span(
        f"{operation} {deployment.name}",
        kind=trace.SpanKind.CLIENT,
        attributes=attributes,
        start_time=now - round(lasted * 1e9),
    )
    if bill.outcome not in ("ok", "client_gone"):
        span.set_status(trace.StatusCode.ERROR)
    span.end(end_time=now)


def _exported() -> bool:
    """Whether anything listens to spans."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return False
    processors = getattr(provider._active_span_processor, "_span_processors", ())
    return bool(processors)
