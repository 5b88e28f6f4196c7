"""ConverseStream as server-sent events: AWS's binary event stream in, chat completion chunks out.

The frames are read by botocore, which checks their checksums. `[DONE]` follows only what Bedrock ended itself: after
`messageStop`. Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from typing import Any

import orjson
from botocore.eventstream import EventStreamBuffer, ParserError  # type: ignore[import-untyped]

from . import converse


class ConverseTranslator:
    """Translates the answer of one call."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._frames = EventStreamBuffer()
        self._calls: dict[int, int] = {}
        self._stopped = False
        self._failed = False

    def whole(self, raw: bytes) -> bytes:
        """A Converse answer as a chat completion."""
        return converse.answer(raw, self._model)

    def feed(self, data: bytes) -> bytes:
        """Chunks out of the frames so far."""
        self._frames.add_data(data)
        out = []
        try:
            for frame in self._frames:
                out.append(self._event(frame.headers, orjson.loads(frame.payload or b"{}")))
        except ParserError as error:
            # What came before the broken frame is not lost: it goes out, and the stream ends there.
            self._failed = True
            out.append(_sse({"error": {"message": f"a frame of the event stream is broken: {error}"}}))
        return b"".join(out)

    def end(self) -> bytes:
        """`[DONE]`, if Bedrock said that the message has stopped."""
        return b"data: [DONE]\n\n" if self._stopped and not self._failed else b""

    def _event(self, headers: dict[str, str], payload: dict[str, Any]) -> bytes:
        if headers.get(":message-type") != "event":
            self._failed = True
            name = headers.get(":exception-type") or headers.get(":error-code") or "error"
            message = payload.get("message") or headers.get(":error-message") or name
            return _sse({"error": {"message": f"{name}: {message}", "type": name}})
        kind = headers.get(":event-type")
        if kind == "messageStart":
            return self._chunk({"role": payload.get("role", "assistant"), "content": ""})
        if kind == "contentBlockStart" and "toolUse" in payload.get("start", {}):
            use = payload["start"]["toolUse"]
            index = self._calls.setdefault(payload.get("contentBlockIndex", 0), len(self._calls))
            function = {"name": use["name"], "arguments": ""}
            call = {"index": index, "id": use["toolUseId"], "type": "function", "function": function}
            return self._chunk({"tool_calls": [call]})
        if kind == "contentBlockDelta":
            return self._delta(payload)
        if kind == "messageStop":
            self._stopped = True
            return self._chunk({}, converse.finish_of(str(payload.get("stopReason"))))
        if kind == "metadata" and isinstance(payload.get("usage"), dict):
            return _sse(self._base() | {"choices": [], "usage": converse.usage(payload["usage"])})
        return b""

    def _delta(self, payload: dict[str, Any]) -> bytes:
        delta = payload.get("delta", {})
        if "text" in delta:
            return self._chunk({"content": delta["text"]})
        if "toolUse" in delta:
            index = self._calls.get(payload.get("contentBlockIndex", 0), 0)
            part = {"index": index, "function": {"arguments": delta["toolUse"].get("input", "")}}
            return self._chunk({"tool_calls": [part]})
        return b""

    def _base(self) -> dict[str, Any]:
        return {"object": "chat.completion.chunk", "model": self._model}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _sse(self._base() | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _sse(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
