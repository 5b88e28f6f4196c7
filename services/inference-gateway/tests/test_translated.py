"""Requests of the translated APIs on their way: streams however they are cut, budgets, ledger, clients that leave."""

import json
from typing import Any

import pytest

from inference_gateway.api.messages import Messages
from inference_gateway.api.translated import Translated
from shipjury_standalone.testing import wait_until

CHUNKS: list[dict[str, Any]] = [
    {"model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
    {"model": "m", "choices": [{"index": 0, "delta": {"content": "b"}}]},
    {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
]


class _Api(Messages):
    """The Messages API, without a request before it."""

    def __init__(self) -> None:
        super().__init__({"headers": []})


async def relayed(*pieces: bytes) -> list[dict[str, Any]]:
    """The events that a client gets of a chat completion's stream that comes in these pieces."""
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> Any:
        raise AssertionError("nobody reads")

    between = Translated(_Api(), receive, send)
    headers = [(b"content-type", b"text/event-stream"), (b"x-shipjury-request-id", b"req_1")]
    await between.send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await between.send({"type": "http.response.body", "body": piece, "more_body": True})
    await between.send({"type": "http.response.body", "body": b""})
    blocks = b"".join(sent).decode().split("\n\n")
    return [json.loads(block.partition("data: ")[2]) for block in blocks if block]


async def test_a_stream_is_read_however_it_is_cut_and_whatever_comes_before_it() -> None:
    before = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
    said = [json.dumps(chunk).encode() for chunk in (before, *CHUNKS)]
    stream = b": a comment\n\n" + b"".join(b"data: " + piece + b"\n\n" for piece in (*said, b"[DONE]"))
    expected = await relayed(stream)
    assert [event["type"] for event in expected][::6] == ["message_start", "message_stop"]
    assert expected[0]["message"]["model"] == "m"
    assert await relayed(*(stream[at : at + 7] for at in range(0, len(stream), 7))) == expected


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": "text"},
        {"delta": {"content": 7}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}},
        {"delta": {"tool_calls": ["call"]}},
        {"delta": {}, "finish_reason": "error"},
    ],
)
async def test_a_stream_in_the_wrong_shape_ends_with_an_error_and_nothing_after_it(choice: dict[str, Any]) -> None:
    chunk = b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"
    events = await relayed(chunk, b"data: [DONE]\n\n")
    assert (events[-1]["type"], events[-1]["error"]["code"]) == ("error", "provider_malformed")
    assert "message_stop" not in [event["type"] for event in events]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_translated_request_is_reserved_billed_and_booked_as_any_other(
    gateway: Any, path: str, stream: bool
) -> None:
    await gateway.budget(10**9)
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "cached words=4"}]}
    if path == "/v1/responses":
        body = {"max_output_tokens": 9, "input": "cached words=4"}
    status, told, headers = await gateway.post(path, model="sim-chat:alpha", stream=stream, **body)
    assert status == 200, told
    [row], [line] = await gateway.ledger(), await gateway.account()
    assert (row["cost_nano_usd"], row["route"], row["outcome"]) == (line["nano_usd"], path, "ok")
    assert headers["x-shipjury-request-id"] == row["request_id"]
    assert list((await gateway.counters()).values()) == [line["nano_usd"]]


async def test_a_translated_request_over_budget_is_refused_in_its_apis_shape(gateway: Any) -> None:
    await gateway.budget(1)
    body = {"model": "sim-chat", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    status, told, _ = await gateway.post("/v1/messages", **body)
    assert (status, told["type"], told["error"]["type"]) == (402, "error", "billing_error")
    assert told["error"]["budget"]["left"] == 1
    status, told, _ = await gateway.post("/v1/responses", model="sim-chat", input="hi", max_output_tokens=9)
    assert (status, told["error"]["code"]) == (402, "budget_exceeded")
    assert await gateway.account() == []
    status, told, _ = await gateway.post("/v1/messages", key="sk-sj-wrong", **body)
    assert (status, told["error"]["type"]) == (401, "authentication_error")


async def test_a_client_that_leaves_a_translated_stream_is_billed_what_the_provider_bills(gateway: Any) -> None:
    body = {
        "model": "sim-chat:alpha",
        "max_tokens": 50,
        "stream": True,
        "messages": [{"role": "user", "content": "fault=slow words=10"}],
    }
    headers = {"x-api-key": gateway.key}
    async with gateway.session.post(f"{gateway.url}/v1/messages", json=body, headers=headers) as response:
        await response.content.readline()
        response.close()
    rows: list[dict[str, Any]] = []

    async def settled() -> bool:
        rows[:] = await gateway.ledger()
        return bool(rows)

    await wait_until(settled)
    [line] = await gateway.account()
    assert (rows[0]["outcome"], rows[0]["cost_nano_usd"]) == ("client_gone", line["nano_usd"])


async def test_a_translated_body_over_the_limit_is_refused_though_it_says_nothing_of_its_length(start: Any) -> None:
    gateway = await start(max_body_bytes=2048)

    async def endless() -> Any:
        for _ in range(64):
            yield b" " * 1024

    headers = {"x-api-key": gateway.key}
    async with gateway.session.post(f"{gateway.url}/v1/messages", data=endless(), headers=headers) as response:
        assert response.status == 413
        assert (await response.json())["error"]["type"] == "request_too_large"
