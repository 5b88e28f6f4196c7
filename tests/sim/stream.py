"""Answers as server-sent events, with each provider's quirks and with the faults that streams have."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from . import content
from .call import Call
from .faults import AMID, Fault, hold_back


async def completion(call: Call, words: list[str]) -> web.StreamResponse:
    """Stream a chat or plain completion; what was made is billed however it ends."""
    n = call.body.get("n") or 1
    fault, end, made = call.fault, "complete", 0
    response = web.StreamResponse(headers=call.headers(**{"Content-Type": "text/event-stream"}))
    try:
        await response.prepare(call.request)
        for event in _before(call):
            await response.write(event)
        for made, piece in enumerate(_pieces(call, words), start=1):
            if made == 3 and fault in AMID:
                end = fault.value
                return await break_amid(call, response, fault)
            await hold_back(fault, made)
            for index in range(n):
                await response.write(sse(_chunk(call, piece, index)))
        made = len(words)
        for event in _after(call, words, n):
            await response.write(event)
    except (ConnectionResetError, asyncio.CancelledError):
        end = "cancelled"
        if call.provider.bills_cancelled == "whole":
            made = len(words)
        raise
    finally:
        call.bill(end, made * n)
    return response


async def break_amid(call: Call, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    """Break a stream that has begun."""
    # What has been sent arrives before what breaks: a real break seldom shares a packet with what came before it.
    await asyncio.sleep(3600 if fault is Fault.STALL else 0.05)
    if fault is Fault.MALFORMED:
        await response.write(b'data: {"id": "brok\n\n')
    if fault is Fault.ERROR_EVENT:
        await response.write(sse({"error": {"message": "the model fell over", "type": "server_error"}}))
    if fault is Fault.RESET_MID and call.request.transport is not None:
        call.request.transport.abort()
    return response


def sse(value: dict[str, Any]) -> bytes:
    """One event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _pieces(call: Call, words: list[str]) -> Iterator[dict[str, Any]]:
    """Deltas (chat) or texts, one a token."""
    if call.chat and content.calls_tool(call.body):
        made = content.tool_call(call.body)
        text = made["function"]["arguments"]
        step = -(-len(text) // max(1, len(words) - 1))
        head = {"index": 0, **made, "function": {"name": made["function"]["name"], "arguments": ""}}
        yield {"delta": {"role": "assistant", "content": None, "tool_calls": [head]}}
        for start in range(0, len(text), step):
            part = {"index": 0, "function": {"arguments": text[start : start + step]}}
            yield {"delta": {"tool_calls": [part]}}
        return
    for word in words:
        yield {"delta": {"content": word + " "}} if call.chat else {"text": word + " "}


def _chunk(call: Call, piece: dict[str, Any], index: int, finish: str | None = None) -> dict[str, Any]:
    chunk: dict[str, Any] = {
        "id": call.id,
        "object": "chat.completion.chunk" if call.chat else "text_completion",
        "created": 1,
        "model": call.body["model"],
        "choices": [{"index": index, "finish_reason": finish, **piece}],
    }
    if call.provider.quirk == "null-usage" and _asked(call):
        chunk["usage"] = None
    if call.provider.quirk == "obfuscation":
        chunk["obfuscation"] = "xK2"
    return chunk


def _asked(call: Call) -> bool:
    return bool((call.body.get("stream_options") or {}).get("include_usage"))


def _before(call: Call) -> Iterator[bytes]:
    """What comes before the first token."""
    if call.provider.quirk == "comments":
        yield b": PROCESSING\n\n"
    if call.provider.quirk == "prompt-filter":
        # Azure reports on its content filter in a chunk without choices.
        filtered = {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
        yield sse(
            {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [filtered]}
        )


def _after(call: Call, words: list[str], n: int) -> Iterator[bytes]:
    """What comes after the last token: the finish, usage where this provider puts it, [DONE]."""
    fault, place = call.fault, call.provider.usage
    usage = content.usage((*call.given, len(words) * n), fault)
    told = fault is not Fault.NO_USAGE and (_asked(call) or place != "asked")
    if fault is not Fault.NO_FINISH:
        for index in range(n):
            last = _chunk(call, {"delta": {}} if call.chat else {"text": ""}, index, content.finish(call.body, words))
            if told and place == "with-finish" and index == n - 1:
                last["usage"] = usage
            if told and place == "x_groq" and index == n - 1:
                last["x_groq"] = {"id": call.id, "usage": usage}
            yield sse(last)
    if told and (place in ("asked", "always") or (place == "x_groq" and _asked(call))):
        yield sse(_chunk(call, {}, 0) | {"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"
