"""What a node tells of itself: metrics of a real engine, and spans that join their caller's trace."""

from typing import Any

import httpx
import pytest

from edge_runner.domain.models import Architecture

from .conftest import MODEL, RunningNode, wait_for

pytestmark = pytest.mark.timeout(300)

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAID = [{"role": "user", "content": "Count to three."}]
CONVENTION = f'gen_ai_operation_name="chat",gen_ai_provider_name="llama.cpp",gen_ai_request_model="{MODEL}"'


def streamed(node: RunningNode, headers: dict[str, str], **body: object) -> str:
    asked = {"model": MODEL, "messages": SAID, "stream": True, **body}
    return httpx.post(f"{node.base_url}/chat/completions", json=asked, headers=headers, timeout=240).text


def test_a_stream_is_measured_from_its_first_token_to_its_last(node: RunningNode) -> None:
    before = {name: node.metric(name) for name in counters()}
    between = f'edge_inter_token_seconds_count{{model="{MODEL}",operation="chat"}}'
    chunks = node.metric(between)
    options = {"include_usage": True}
    assert "[DONE]" in streamed(node, node.headers, max_tokens=8, temperature=0, stream_options=options)
    grown = {name: node.metric(name) - before[name] for name in before}
    assert grown == {
        f"gen_ai_server_time_to_first_token_seconds_count{{{CONVENTION}}}": 1,
        f"gen_ai_server_time_per_output_token_seconds_count{{{CONVENTION}}}": 1,
        f'gen_ai_server_request_duration_seconds_count{{error_type="",{CONVENTION}}}': 1,
        f'edge_queue_seconds_count{{model="{MODEL}",operation="chat"}}': 1,
        f'edge_requests_total{{model="{MODEL}",operation="chat",outcome="ok"}}': 1,
        f'edge_tokens_total{{kind="completion",model="{MODEL}"}}': 8,
    }
    assert node.metric(between) > chunks


def ours(node: RunningNode, trace_id: str) -> list[dict[str, Any]]:
    """The two spans of a call, the inner one first."""

    def found() -> list[dict[str, Any]]:
        return [span for span in node.spans() if span["trace_id"] == trace_id]

    wait_for(lambda: len(found()) == 2, 20, node)
    return sorted(found(), key=lambda span: str(span["kind"]))


def counters() -> list[str]:
    return [
        f"gen_ai_server_time_to_first_token_seconds_count{{{CONVENTION}}}",
        f"gen_ai_server_time_per_output_token_seconds_count{{{CONVENTION}}}",
        f'gen_ai_server_request_duration_seconds_count{{error_type="",{CONVENTION}}}',
        f'edge_queue_seconds_count{{model="{MODEL}",operation="chat"}}',
        f'edge_requests_total{{model="{MODEL}",operation="chat",outcome="ok"}}',
        f'edge_tokens_total{{kind="completion",model="{MODEL}"}}',
    ]


def test_the_kv_cache_is_seen_to_fill_and_to_empty(node: RunningNode) -> None:
    shape = Architecture(layers=30, kv_heads=3, head_dim=64)
    assert shape.layers is not None
    assert shape.kv_heads is not None
    assert shape.head_dim is not None
    wanted = 2 * shape.layers * shape.kv_heads * shape.head_dim * 2 * 2048 * 2  # f16, 2,048 tokens, two slots
    assert node.metric("edge_kv_cache_bytes") == wanted
    asked = {"model": MODEL, "prompt": "word " * 200, "max_tokens": 1500, "stream": True}
    asked["logit_bias"] = {"0": -100, "2": -100}  # it must not end before we have looked
    with httpx.stream("POST", f"{node.base_url}/completions", json=asked, headers=node.headers, timeout=240) as answer:
        lines = answer.iter_lines()  # kept: where it goes, the connection goes
        next(lines)
        assert 200 / 4096 < node.metric("edge_kv_cache_use_ratio") < 400 / 4096
    wait_for(lambda: node.metric("edge_kv_cache_use_ratio") == 0, 30, node)


def test_memory_stands_beside_its_limit_and_restarts_are_counted(node: RunningNode) -> None:
    resident = node.metric("edge_engine_resident_bytes")
    assert 150_000_000 < resident < node.metric("edge_memory_bytes")
    assert node.metric("edge_engine_memory_limit_bytes") == 0
    assert node.metric("edge_engine_restarts") == node.model()["restarts"]


def test_what_went_wrong_is_counted_by_its_name(node: RunningNode) -> None:
    line = f'edge_requests_total{{model="{MODEL}",operation="chat",outcome="context_length_exceeded"}}'
    before = node.metric(line)
    assert node.post("/chat/completions", messages=SAID, max_tokens=2048).status_code == 413
    assert node.metric(line) == before + 1


def test_a_call_joins_its_callers_trace_and_speaks_the_conventions_for_generative_ai(node: RunningNode) -> None:
    trace_id = "1af7651916cd43dd8448eb211c80319d"
    caller = CALLER.replace("0af7651916cd43dd8448eb211c80319c", trace_id)
    streamed(node, node.headers | {"traceparent": caller}, max_tokens=5, temperature=0, seed=4)
    inference, request = ours(node, trace_id)
    assert (request["kind"], request["parent_id"]) == ("SERVER", "b7ad6b7169203331")
    assert (inference["kind"], inference["parent_id"]) == ("CLIENT", request["span_id"])
    assert inference["name"] == f"chat {MODEL}"
    told = inference["attributes"]
    assert told.pop("gen_ai.response.time_to_first_chunk") > 0
    assert told.pop("gen_ai.usage.input_tokens") > 10
    assert told.pop("gen_ai.usage.cache_read.input_tokens") >= 0
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llama.cpp",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.output.type": "text",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.seed": 4,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.output_tokens": 5,
    }
    assert "three" not in str(told), "what was said is not recorded"


def test_a_failed_call_says_so_in_its_trace(node: RunningNode) -> None:
    trace_id = "2af7651916cd43dd8448eb211c80319e"
    caller = CALLER.replace("0af7651916cd43dd8448eb211c80319c", trace_id)
    streamed(node, node.headers | {"traceparent": caller}, max_tokens=2048)
    inference, _ = ours(node, trace_id)
    assert inference["status"] == "ERROR"
    assert inference["attributes"]["error.type"] == "context_length_exceeded"
