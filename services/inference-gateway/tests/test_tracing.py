"""Spans of attempts: the conventions' names, the cost, and nothing that a person wrote."""

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


async def test_an_attempt_is_a_span_with_tokens_and_cost(gateway: Any, spans: InMemorySpanExporter) -> None:
    assert (await gateway.chat("a secret of mine, words=7"))[0] == 200
    [row] = await gateway.ledger()
    [span] = [one for one in spans.get_finished_spans() if (one.attributes or {}).get("gen_ai.operation.name")]
    told = dict(span.attributes or {})
    assert span.name == "chat sim-chat"
    assert (told["gen_ai.provider.name"], told["gen_ai.request.model"]) == ("alpha", "sim-chat")
    assert told["gen_ai.usage.input_tokens"] == row["input_tokens"]
    assert told["gen_ai.usage.output_tokens"] == row["output_tokens"]
    assert told["shipjury.cost.nano_usd"] == row["cost_nano_usd"]
    assert told["shipjury.attempt.id"] == row["attempt_id"]
    assert "secret" not in str(told)


async def test_a_refused_attempt_is_a_span_with_its_error(gateway: Any, spans: InMemorySpanExporter) -> None:
    status, _, _ = await gateway.chat("fault=500", model="sim-chat:alpha")
    assert status == 502
    failed = [one for one in spans.get_finished_spans() if (one.attributes or {}).get("error.type")]
    assert failed
    assert {one.status.status_code for one in failed} == {trace.StatusCode.ERROR}
