"""The span of one call to an engine, by OpenTelemetry's semantic conventions for generative AI.

Attributes: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md ("Inference").
What was said is not recorded, only how much of it. The parent is the request's span, and that one's is the caller's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry import trace

from shipjury_delivery.telemetry import exporting, tracer


class InferenceSpan:
    """One call, from arrival to its end. It is never made the current span, so that a stream may end in any task."""

    def __init__(
        self, operation: str, model: str, provider: str, *, stream: bool = False, output: str = "text", **request: Any
    ) -> None:
        """``request``: ``max_tokens``, ``temperature``, ``top_p``, ``seed``, ...; what is ``None`` is left out. Where
        nobody collects spans, nothing is recorded: the first token would wait for it."""
        self._reasons: list[str] = []
        self._span: trace.Span = trace.INVALID_SPAN
        if not exporting():
            return
        self._span = tracer("edge").start_span(f"{operation} {model}", kind=trace.SpanKind.CLIENT)
        self._span.set_attributes(
            {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.response.model": model,
                **({"gen_ai.output.type": output} if operation != "embeddings" else {}),
                **({"gen_ai.request.stream": True} if stream else {}),
            }
        )
        self._span.set_attributes(
            {f"gen_ai.request.{name}": value for name, value in request.items() if value is not None}
        )

    def first_chunk(self, seconds: float) -> None:
        """The first token has come, so long after the request."""
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def choices(self, choices: Iterable[Mapping[str, Any]]) -> None:
        """Note how the engine says that it has ended."""
        self._reasons += [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]

    def usage(self, prompt: int, completion: int, cached: int) -> None:
        """The engine's own count of tokens."""
        self._span.set_attributes(
            {
                "gen_ai.usage.input_tokens": prompt,
                "gen_ai.usage.output_tokens": completion,
                "gen_ai.usage.cache_read.input_tokens": cached,
            }
        )

    def end(self, error_type: str) -> None:
        """Close the span; ``error_type`` is empty where all went well."""
        if self._reasons:
            self._span.set_attribute("gen_ai.response.finish_reasons", self._reasons)
        if error_type:
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()
