"""A chat completion's answer as Anthropic's Messages API gives it: a message, a stream of events, an error. Pure.

The order of events and their fields are those of `anthropic.types.RawMessageStreamEvent` (2.11). The number of input
tokens is known at the end only: `message_start` says 0, `message_delta` what it is.
"""

import json
from collections.abc import Iterator
from typing import Any

from .translation import begins, details, malformed, only_choice, text_of, tool_calls_of

_STOP = {
    "stop": "end_turn",
    "eos": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_PARAMS = {
    "response_format": "output_config.format",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "output_config.effort",
    "max_completion_tokens": "max_tokens",
}


def message(answer: Any, message_id: str) -> dict[str, Any]:
    """A whole answer. Raises ``provider_malformed`` where it has no counterpart."""
    choice = only_choice(answer)
    said = choice.get("message")
    if not isinstance(said, dict):
        raise malformed("its choice has no message")
    refusal = said.get("refusal")
    text = text_of(said.get("content")) or (refusal if isinstance(refusal, str) else "")
    content: list[dict[str, Any]] = [{"type": "text", "text": text, "citations": None}] if text else []
    for call_id, name, arguments in tool_calls_of(said):
        content.append({"type": "tool_use", "id": call_id, "name": name, "input": _parsed(arguments)})
    called = content and content[-1]["type"] == "tool_use"
    told = _opening(message_id, answer.get("model"))
    return {
        **told,
        "content": content,
        **_stop(choice, called=bool(called), refusal=refusal),
        "usage": usage(answer.get("usage")),
    }


def usage(told: Any) -> dict[str, Any]:
    """Tokens in Anthropic's words: what was read from a cache is not part of `input_tokens`. What the provider did not
    tell is null, not 0."""
    if not isinstance(told, dict):
        return {"input_tokens": None, "output_tokens": None}
    cached = details(told, "prompt_tokens_details", "cached_tokens")
    given = told.get("prompt_tokens")
    counted: dict[str, Any] = {
        "input_tokens": given - cached if isinstance(given, int) else None,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": told.get("completion_tokens"),
    }
    thought = details(told, "completion_tokens_details", "reasoning_tokens")
    if thought:
        counted["output_tokens_details"] = {"thinking_tokens": thought}
    return counted


def error(body: Any, status: int, request_id: str | None) -> dict[str, Any]:
    """An error in Anthropic's shape. What else the gateway says of it (`code`, `param`, the budget, the attempts)
    stands beside type and message."""
    told = body.get("error") if isinstance(body, dict) else None
    told = dict(told) if isinstance(told, dict) else {"message": "the request failed"}
    told["type"] = _ERRORS.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")
    param = told.get("param")
    if param in _PARAMS:
        told["param"] = _PARAMS[param]
        told["message"] = str(told.get("message", "")).replace(f"`{param}`", f"`{_PARAMS[param]}`")
    return {"type": "error", "error": told, "request_id": request_id}


class Events:
    """Turns chunks of a chat completion into events, in order. One for each stream."""

    def __init__(self, message_id: str) -> None:
        self._id = message_id
        self._begun = False
        self._index = -1
        self._open: str | int | None = None
        """What block is open: ``"text"``, or the index of a tool's call; ``None`` for none."""
        self._called = False
        self._refusal = ""
        self._choice: dict[str, Any] = {}
        self._usage: Any = None

    def chunk(self, chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of one chunk. Raises ``provider_malformed``."""
        if not self._begun and begins(chunk):
            self._begun = True
            told = _opening(self._id, chunk.get("model"))
            start = {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0}}
            yield {"type": "message_start", "message": {**told, "content": [], **start}}
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            refusal = delta.get("refusal") or ""
            self._refusal += refusal
            text = text_of(delta.get("content")) or refusal
            if text:
                yield from self._text(text)
            for call in delta.get("tool_calls") or ():
                yield from self._call(call)
            if choice.get("finish_reason") is not None:
                self._choice = choice
                yield from self._close()

    def done(self) -> Iterator[dict[str, Any]]:
        """The end of a stream that is whole."""
        yield from self._close()
        delta = _stop(self._choice, called=self._called, refusal=self._refusal)
        yield {"type": "message_delta", "delta": delta, "usage": usage(self._usage)}
        yield {"type": "message_stop"}

    def failed(self, body: Any, status: int, request_id: str | None) -> Iterator[dict[str, Any]]:
        """The end of a stream that is not."""
        yield error(body, status, request_id)

    def _text(self, text: str) -> Iterator[dict[str, Any]]:
        if self._open != "text":
            yield from self._start("text", {"type": "text", "text": "", "citations": None})
        yield self._delta({"type": "text_delta", "text": text})

    def _call(self, call: Any) -> Iterator[dict[str, Any]]:
        number = call.get("index", 0) if isinstance(call, dict) else None
        function = call.get("function") or {} if isinstance(call, dict) else {}
        if not isinstance(number, int) or not isinstance(function, dict):
            raise malformed("a piece of a tool call has no index")
        if number != self._open:
            name, call_id = function.get("name"), call.get("id")
            if not isinstance(name, str) or not isinstance(call_id, str):
                raise malformed("a tool call begins without id and name")
            self._called = True
            yield from self._start(number, {"type": "tool_use", "id": call_id, "name": name, "input": {}})
        arguments = function.get("arguments")
        if arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _start(self, what: str | int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from self._close()
        self._open = what
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._index}


def _opening(message_id: str, model: Any) -> dict[str, Any]:
    return {"id": message_id, "type": "message", "role": "assistant", "model": model}


def _stop(choice: dict[str, Any], *, called: bool, refusal: Any) -> dict[str, Any]:
    """Why the answer ended. A call of a tool counts as one where a provider says `stop` all the same."""
    finish = choice.get("finish_reason")
    if finish not in _STOP:
        raise malformed(f"it ended for the unknown reason {finish!r}")
    reason = _STOP[finish]
    if refusal:
        reason = "refusal"
    elif called and reason == "end_turn":
        reason = "tool_use"
    told: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reason == "refusal":
        told["stop_details"] = {"type": "refusal", "category": None, "explanation": refusal or None}
    return told


def _parsed(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
    except ValueError as fault:
        raise malformed(f"a tool call's arguments are not JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise malformed("a tool call's arguments are no object")
    return value
