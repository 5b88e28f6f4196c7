"""Traces, metrics' names and logs, set up once a process; nothing that a stranger wrote goes into them.

Traces go to ``OTEL_EXPORTER_OTLP_ENDPOINT`` where that is set, and as JSON lines to ``SHIPJURY_TRACES_FILE`` where
that is set. Without either, spans still exist, so that logs and events carry trace ids.
"""

import json
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

_W3C = TraceContextTextMapPropagator()
_exporting = False


class TelemetrySettings(BaseSettings):
    """What a process tells about itself, and where to."""

    model_config = SettingsConfigDict(env_prefix="SHIPJURY_", frozen=True, extra="ignore")

    traces_file: Path | None = Field(default=None, description="File that spans are appended to, one JSON a line.")
    log_level: str = Field(default="INFO", description="Least level of log records that are written.")
    log_format: str = Field(default="json", description="json for machines, console for eyes.")


FRAMEWORK_SILENT: "TelemetryConfig" = {"tracing": False, "metrics": False, "logs": False}
"""For ``FastAPI(telemetry=...)``: ``serving.instrumented`` traces requests; the framework's second span of each would
come between it and what happens inside."""


def set_up(service: str, settings: TelemetrySettings | None = None) -> None:
    """Set up tracing and logging of this process. A second call changes nothing."""
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    global _exporting
    settings = settings or TelemetrySettings()
    _set_up_logs(settings)
    provider = TracerProvider(
        resource=Resource.create({"service.namespace": "shipjury", "service.name": service}),
        span_limits=SpanLimits(max_links=5000),  # a batch links to each of its events' spans
    )
    if settings.traces_file:
        provider.add_span_processor(
            BatchSpanProcessor(JsonLinesExporter(settings.traces_file), schedule_delay_millis=500)
        )
        _exporting = True
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        _exporting = True
    trace.set_tracer_provider(provider)


def tear_down() -> None:
    """Write out what is buffered; called when the process stops."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush(timeout_millis=2000)


def tracer(name: str) -> trace.Tracer:
    """The tracer of a service or library; its name is the spans' instrumentation scope."""
    return trace.get_tracer(f"shipjury.{name}")


def exporting() -> bool:
    """Whether this process's spans go anywhere; where not, their ids are all that matters of them."""
    return _exporting


def ids_only(traceparent: str | None) -> trace.Span:
    """A span that is nothing but its ids, in the trace that ``traceparent`` names or in one of its own: so that logs
    and events carry them, at a tenth of a real span's cost."""
    parent = trace.get_current_span(context_from(traceparent)).get_span_context() if traceparent else None
    trace_id, flags = random.getrandbits(128), trace.TraceFlags(trace.TraceFlags.SAMPLED)
    if parent is not None and parent.is_valid:
        trace_id, flags = parent.trace_id, parent.trace_flags
    return trace.NonRecordingSpan(trace.SpanContext(trace_id, random.getrandbits(64), False, flags))


def current_traceparent() -> str | None:
    """The current span as a W3C ``traceparent``, to store beside what it caused."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def context_from(traceparent: str | None) -> otel_context.Context:
    """The context that a ``traceparent`` names; an empty one where it names none."""
    return _W3C.extract({"traceparent": traceparent} if traceparent else {}, context=otel_context.Context())


def links_to(traceparents: Iterable[str | None]) -> list[trace.Link]:
    """Links to the spans that caused a batch, each once."""
    contexts = (
        trace.get_current_span(context_from(traceparent)).get_span_context()
        for traceparent in dict.fromkeys(traceparents)
        if traceparent
    )
    return [trace.Link(context) for context in contexts if context.is_valid]


class JsonLinesExporter(SpanExporter):
    """Appends spans to a file, one JSON object a line; several processes may share the file (O_APPEND)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch of spans, in one write; what a full disk refuses is given up."""
        try:
            os.write(self._file, "".join(json.dumps(_span(span)) + "\n" for span in spans).encode())
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        os.close(self._file)


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    return {
        "name": span.name,
        "scope": span.instrumentation_scope.name if span.instrumentation_scope else None,
        "kind": span.kind.name,
        "trace_id": _trace_id(context),
        "span_id": _span_id(context),
        "parent_id": _span_id(span.parent) if span.parent else None,
        "links": [{"trace_id": _trace_id(link.context), "span_id": _span_id(link.context)} for link in span.links],
        "start": span.start_time,
        "end": span.end_time,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "service": span.resource.attributes.get("service.name"),
    }


def _trace_id(context: trace.SpanContext | None) -> str | None:
    return trace.format_trace_id(context.trace_id) if context else None


def _span_id(context: trace.SpanContext | None) -> str | None:
    return trace.format_span_id(context.span_id) if context else None


class OncePerWhile(logging.Filter):
    """Lets a line of a library's code log once in so many seconds, with how often it wanted to.

    aiokafka tells of every try to connect: a broker that is away for ten minutes was 112,000 lines.
    """

    def __init__(self, library: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._seconds = seconds
        self._clock = clock
        self._last: dict[tuple[str, int], float] = {}
        self._held_back: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record; others' always."""
        if not super().filter(record):
            return True
        place = record.pathname, record.lineno
        if self._clock() - self._last.get(place, -self._seconds) < self._seconds:
            self._held_back[place] += 1
            return False
        self._last[place] = self._clock()
        if again := self._held_back.pop(place, 0):
            record.msg, record.args = f"{record.getMessage()} (and {again} times before)", None
        return True


def _with_trace(_: Any, __: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Add the current span's ids to a log record."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"], entry["span_id"] = _trace_id(context), _span_id(context)
    return entry


def _set_up_logs(settings: TelemetrySettings) -> None:
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _with_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if settings.log_format == "console" else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OncePerWhile("aiokafka", 30))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # These tell of every partition, poll and request; what matters of it is logged or counted here.
    for noisy in ("aiokafka", "faststream", "httpx", "httpcore", "alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
