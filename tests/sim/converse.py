"""Bedrock's own chat API: Converse, and ConverseStream as an AWS event stream, framed by the simulator's own code."""

import asyncio
import itertools
import json
import struct
import zlib
from typing import Any

from aiohttp import web

from . import content
from .call import Call
from .errors import Refused, unsupported
from .faults import AMID, Fault, hold_back
from .world import Provider

_FIELDS = frozenset({"messages", "system", "inferenceConfig", "toolConfig"})
_CONFIG = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def as_openai(provider: Provider, body: dict[str, Any], model: str) -> dict[str, Any]:
    """The request in the words that the rest of the simulator has. Raises :class:`Refused` as Bedrock does."""
    if model not in provider.models:
        raise Refused(400, "The provided model identifier is invalid.")
    for name in body:
        if name not in _FIELDS:
            raise unsupported(provider, name)
    config = body.get("inferenceConfig") or {}
    for name in config:
        if name not in _CONFIG:
            raise unsupported(provider, f"inferenceConfig.{name}")
    messages = body.get("messages") or []
    if not messages or messages[0]["role"] != "user":
        raise Refused(400, "A conversation must start with a user message.")
    if any(one["role"] == after["role"] for one, after in itertools.pairwise(messages)):
        raise Refused(400, "A conversation must alternate between user and assistant roles.")
    asked: dict[str, Any] = {"model": model, "messages": [_message(one) for one in messages]}
    asked["messages"] += [{"role": "system", "content": part["text"]} for part in body.get("system") or []][::-1]
    if any("toolResult" in part for part in messages[-1]["content"]):
        asked["messages"].append({"role": "tool", "content": ""})
    if "maxTokens" in config:
        asked["max_tokens"] = config["maxTokens"]
    if "toolConfig" in body:
        asked["tools"] = [_tool(one["toolSpec"]) for one in body["toolConfig"]["tools"]]
    return asked


def whole(call: Call, words: list[str]) -> web.Response:
    """Converse."""
    if call.fault is Fault.MALFORMED:
        call.bill("malformed", len(words))
        return web.Response(body=b'{"output": ', content_type="application/json")
    parts: list[dict[str, Any]] = [{"text": " ".join(words)}]
    if content.calls_tool(call.body):
        made = content.tool_call(call.body)
        given = json.loads(made["function"]["arguments"])
        parts = [{"toolUse": {"toolUseId": "tooluse_1", "name": made["function"]["name"], "input": given}}]
    answer: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": parts}},
        "stopReason": _STOPS[content.finish(call.body, words)],
        "metrics": {"latencyMs": 1},
    }
    if call.fault is not Fault.NO_USAGE:
        answer["usage"] = _usage(call, len(words))
    call.bill("complete", len(words))
    return web.json_response(answer, headers=call.headers())


async def stream(call: Call, words: list[str]) -> web.StreamResponse:
    """ConverseStream."""
    fault, end, made = call.fault, "complete", 0
    kind = "application/vnd.amazon.eventstream"
    response = web.StreamResponse(headers=call.headers(**{"Content-Type": kind}))
    try:
        await response.prepare(call.request)
        await response.write(frame("messageStart", {"role": "assistant"}))
        for made, part in enumerate(_parts(call, words), start=1):
            if made == 3 and fault in AMID:
                end = fault.value
                return await _break_amid(call, response, fault)
            await hold_back(fault, made)
            await response.write(part)
        made = len(words)
        await response.write(frame("contentBlockStop", {"contentBlockIndex": 0}))
        if fault is not Fault.NO_FINISH:
            stop = _STOPS[content.finish(call.body, words)]
            await response.write(frame("messageStop", {"stopReason": stop}))
        if fault is not Fault.NO_USAGE:
            told = {"usage": _usage(call, made), "metrics": {"latencyMs": 1}}
            await response.write(frame("metadata", told))
    except (ConnectionResetError, asyncio.CancelledError):
        end = "cancelled"
        if call.provider.bills_cancelled == "whole":
            made = len(words)
        raise
    finally:
        call.bill(end, made)
    return response


def frame(event: str, payload: dict[str, Any], message_type: str = "event") -> bytes:
    """One message of an AWS event stream: lengths, their checksum, headers, payload, checksum of it all."""
    named = {":message-type": message_type, ":content-type": "application/json"}
    named[":event-type" if message_type == "event" else ":exception-type"] = event
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    data = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + data
    return message + struct.pack(">I", zlib.crc32(message))


async def _break_amid(call: Call, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(3600 if fault is Fault.STALL else 0.05)
    if fault is Fault.MALFORMED:
        whole_frame = frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "bro"}})
        await response.write(whole_frame[:-2] + b"!!")
    if fault is Fault.ERROR_EVENT:
        await response.write(frame("modelStreamErrorException", {"message": "the model fell over"}, "exception"))
    if fault is Fault.RESET_MID and call.request.transport is not None:
        call.request.transport.abort()
    return response


def _parts(call: Call, words: list[str]) -> list[bytes]:
    if not content.calls_tool(call.body):
        deltas = [{"contentBlockIndex": 0, "delta": {"text": word + " "}} for word in words]
        return [frame("contentBlockDelta", delta) for delta in deltas]
    made = content.tool_call(call.body)["function"]
    start = {"toolUse": {"toolUseId": "tooluse_1", "name": made["name"]}}
    text = made["arguments"]
    parts = [text[: len(text) // 2], text[len(text) // 2 :]]
    return [
        frame("contentBlockStart", {"contentBlockIndex": 0, "start": start}),
        *(
            frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": part}}})
            for part in parts
        ),
    ]


def _usage(call: Call, made: int) -> dict[str, int]:
    given, hit = call.given
    if call.fault is Fault.WRONG_USAGE:
        made = -made
    # Bedrock counts what came from its cache beside the input, not within it.
    return {
        "inputTokens": given - hit,
        "cacheReadInputTokens": hit,
        "outputTokens": made,
        "totalTokens": given + made,
    }


def _message(message: dict[str, Any]) -> dict[str, Any]:
    texts = []
    for part in message["content"]:
        if set(part) - {"text", "image", "toolUse", "toolResult"}:
            raise Refused(400, "Malformed input request: unknown content block")
        texts.append(part.get("text", ""))
    return {"role": message["role"], "content": " ".join(texts)}


def _tool(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}}
