"""Each line of docs/reference/streaming.md: what a client and the ledger see at each point where a stream can break."""

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from shipjury_standalone.testing import wait_until

AB = {"order": ["alpha", "beta"], "ignore": ["gamma"]}


def error_in(text: str) -> dict[str, Any]:
    """The error event that a broken stream ends with; nothing follows it."""
    last = text.rstrip("\n").rpartition("\n\n")[2]
    assert "data: [DONE]" not in text
    return dict(json.loads(last.removeprefix("data: "))["error"])


@pytest.mark.parametrize("fault", ["429", "429-retry-after", "500", "503", "reset"])
async def test_a_provider_that_fails_before_the_first_byte_is_replaced_by_the_next(gateway: Any, fault: str) -> None:
    status, text, headers = await gateway.chat(f"fault={fault}@alpha", model="sim-chat", provider=AB, stream=True)
    assert status == 200
    assert text.endswith("data: [DONE]\n\n")
    assert (headers["x-shipjury-provider"], headers["x-shipjury-attempts"]) == ("beta", "2")
    first, second = await gateway.ledger()
    assert first["outcome"] == ("uncertain" if fault == "reset" else "error")
    assert second["outcome"] == "ok"
    assert (first["first_attempt"], second["first_attempt"]) == (True, False)


async def test_a_provider_that_is_silent_past_the_first_token_deadline_is_replaced_and_uncertain(start: Any) -> None:
    gateway = await start(first_token_seconds=0.3)
    status, text, headers = await gateway.chat("fault=hang@alpha", model="sim-chat", provider=AB, stream=True)
    assert (status, headers["x-shipjury-provider"]) == (200, "beta")
    assert text.endswith("data: [DONE]\n\n")
    first, second = await gateway.ledger()
    assert (first["outcome"], first["reason"]) == ("uncertain", "no_answer_in_time")
    assert first["cost_nano_usd"] == first["bound_nano_usd"] > 0
    assert second["outcome"] == "ok"


async def test_when_every_provider_fails_the_error_says_who_and_how(gateway: Any) -> None:
    status, answer, _ = await gateway.chat("fault=503", model="sim-chat", provider=AB, stream=True)
    assert (status, answer["error"]["code"]) == (502, "provider_failed")
    tried = [(one["provider"], one["reason"]) for one in answer["error"]["attempts"]]
    assert tried == [("alpha", "http_503"), ("beta", "http_503")] * 2, "each once more, after a pause"
    assert [row["cost_nano_usd"] for row in await gateway.ledger()] == [0] * 4


async def test_without_fallbacks_the_first_failure_is_the_answer(gateway: Any) -> None:
    route = {"order": ["alpha"], "allow_fallbacks": False}
    status, answer, headers = await gateway.chat("fault=429-retry-after", model="sim-chat", provider=route, stream=True)
    assert (status, headers["retry-after"]) == (429, "2")
    assert answer["error"]["provider"] == "alpha"


@pytest.mark.parametrize("fault", ["cut", "reset-mid", "malformed", "error-event", "no-finish"])
async def test_a_stream_that_breaks_after_its_first_byte_ends_with_an_error_event(gateway: Any, fault: str) -> None:
    status, text, _ = await gateway.chat(f"fault={fault} words=6", model="sim-chat", provider=AB, stream=True)
    assert status == 200
    error = error_in(text)
    assert (error["code"], error["provider"]) == ("stream_cut", "alpha")
    [row] = await gateway.ledger()
    if fault == "no-finish":
        # Usage came before the end that was none: what it cost is known.
        [line] = await gateway.account()
        assert (row["outcome"], row["cost_nano_usd"]) == ("cut", line["nano_usd"])
    else:
        assert (row["outcome"], row["cost_nano_usd"]) == ("uncertain", row["bound_nano_usd"])


async def test_a_stream_that_falls_silent_ends_with_an_error_event(start: Any) -> None:
    gateway = await start(idle_seconds=0.3)
    status, text, _ = await gateway.chat("fault=stall words=6", stream=True)
    assert status == 200
    assert error_in(text)["code"] == "stream_stalled"
    [row] = await gateway.ledger()
    assert (row["outcome"], row["reason"]) == ("uncertain", "stream_stalled")


async def test_a_slow_stream_is_no_silent_one(start: Any) -> None:
    gateway = await start(idle_seconds=1.0)
    _, text, _ = await gateway.chat("fault=slow words=12", stream=True)
    assert text.endswith("data: [DONE]\n\n")


async def test_a_stream_without_usage_is_whole_for_the_client_and_uncertain_for_the_ledger(gateway: Any) -> None:
    _, text, _ = await gateway.chat("fault=no-usage words=4", stream=True)
    assert text.endswith("data: [DONE]\n\n")
    [row] = await gateway.ledger()
    assert (row["outcome"], row["reason"]) == ("uncertain", "usage_missing")
    assert row["cost_nano_usd"] == row["bound_nano_usd"]


async def test_usage_that_makes_no_sense_is_none(gateway: Any) -> None:
    await gateway.chat("fault=wrong-usage words=4", stream=True)
    [row] = await gateway.ledger()
    assert (row["outcome"], row["input_tokens"]) == ("uncertain", None)


async def test_the_usage_event_is_passed_on_to_who_asked_for_it_only(gateway: Any) -> None:
    _, plain, _ = await gateway.chat("words=2", stream=True)
    _, asked, _ = await gateway.chat("words=2", stream=True, stream_options={"include_usage": True})
    assert '"usage"' not in plain
    assert '"usage"' in asked


async def leave_after_first_event(gateway: Any, text: str, model: str) -> None:
    """Read one event of a stream, then close the connection."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": True}
    headers = {"Authorization": f"Bearer {gateway.key}"}
    async with gateway.session.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers) as response:
        await response.content.readany()
        response.close()


async def test_a_client_that_leaves_is_billed_what_the_provider_bills(gateway: Any) -> None:
    await leave_after_first_event(gateway, "fault=slow words=10", "sim-chat:alpha")
    rows: list[dict[str, Any]] = []

    async def settled() -> bool:
        rows[:] = await gateway.ledger()
        return bool(rows)

    await wait_until(settled)
    [line] = await gateway.account()
    assert (rows[0]["outcome"], rows[0]["cost_nano_usd"]) == ("client_gone", line["nano_usd"])
    assert line["end"] == "complete"


async def test_a_stream_is_cancelled_where_the_provider_stops_billing_then(start: Any) -> None:
    again = await start(
        change_providers={"gamma": ("max_logprobs", "cancelled_stream_still_billed = false\nmax_logprobs")}
    )
    await leave_after_first_event(again, "fault=slow words=50", "sim-chat:gamma")
    lines: list[dict[str, Any]] = []

    async def ended() -> bool:
        lines[:] = await again.account()
        return bool(lines)

    await wait_until(ended)
    assert lines[0]["end"] == "cancelled"
    assert lines[0]["output"] < 50
    await wait_until(lambda: _ledgered(again))
    [row] = await again.ledger()
    assert (row["outcome"], row["reason"]) == ("uncertain", "cancelled")


async def test_a_reader_that_stops_reading_holds_a_bounded_part_of_the_stream(start: Any) -> None:
    gateway = await start(idle_seconds=0.5, max_body_bytes=1 << 20)
    host, port = gateway.url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect((host, int(port)))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
    body = json.dumps(
        {
            "model": "sim-chat:alpha",
            "stream": True,
            "max_tokens": 60_000,
            "messages": [{"role": "user", "content": "words=60000"}],
        }
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await reader.readuntil(b"data: ")
    await wait_until(lambda: _ledgered(gateway), seconds=20)
    [row] = await gateway.ledger()
    assert (row["outcome"], row["reason"]) == ("uncertain", "slow_reader")
    writer.close()


async def _ledgered(gateway: Any) -> bool:
    return bool(await gateway.ledger())


def test_every_line_of_the_reference_is_held_by_a_test_and_every_test_here_stands_in_it() -> None:
    here = Path(__file__)
    page = (here.parents[3] / "docs/reference/streaming.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = {path: set(re.findall(r"def (test_\w+)", path.read_text())) for path in here.parent.glob("test_*.py")}
    assert not named - set().union(*tests.values())
    assert tests[here] - named == {
        "test_every_line_of_the_reference_is_held_by_a_test_and_every_test_here_stands_in_it"
    }
