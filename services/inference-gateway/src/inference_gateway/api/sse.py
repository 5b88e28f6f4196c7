"""Server-sent events of a provider, read strictly: every event is looked at, since what breaks is what matters.

An event that is no JSON, or an error inside the stream, ends it; a `[DONE]` before every choice has its
`finish_reason` is no end (an engine that is being stopped ends exactly so).
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from ..domain.money import Tokens
from ..domain.usage import tokens_of

MAX_EVENT_BYTES = 4 * 1024 * 1024


class Malformed(Exception):
    """The stream is not what the API promises; the text says how."""


class ErrorInStream(Exception):
    """The provider sent an error event; the text is its message."""


@dataclass(slots=True)
class Reader:
    """Takes bytes as they come; gives back what may be forwarded, and remembers what the end needs.

    ``keep_usage`` says whether the client asked for the usage event; otherwise the gateway's own is taken out.
    """

    keep_usage: bool
    tokens: Tokens | None = None
    usage: Any = None
    upstream_id: str | None = None
    done: bool = False
    fault: Malformed | ErrorInStream | None = None
    events: int = 0
    _buffer: bytes = b""
    _choices: set[int] = field(default_factory=set)
    _finished: set[int] = field(default_factory=set)

    def feed(self, data: bytes) -> bytes:
        """Whole events out of the bytes so far, without `[DONE]`. What breaks the stream is kept in ``fault``, so that
        what came before it is not lost; :meth:`finish` raises it."""
        buffer = self._buffer + data if self._buffer else data
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n")
        *events, rest = buffer.split(b"\n\n")
        self._buffer = rest
        kept = []
        try:
            for event in events:
                if self._look_at(event):
                    kept.append(event)
        except (Malformed, ErrorInStream) as fault:
            self.fault = fault
        if len(rest) > MAX_EVENT_BYTES:
            self.fault = Malformed(f"an event has more than {MAX_EVENT_BYTES} bytes")
        return b"\n\n".join(kept) + b"\n\n" if kept else b""

    def finish(self) -> None:
        """The stream is over: raises :class:`Malformed` or :class:`ErrorInStream` where that was not its end."""
        if self.fault is not None:
            raise self.fault
        if not self.done:
            raise Malformed("the stream ended without [DONE]")
        if self._choices - self._finished:
            raise Malformed("the stream ended before every choice had a finish_reason")

    def _look_at(self, event: bytes) -> bool:
        if self.done:
            return False
        data = _data(event)
        if data is None:
            return True
        if data == b"[DONE]":
            self.done = True
            return False
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise Malformed(f"an event is not JSON: {error}") from error
        if not isinstance(chunk, dict):
            raise Malformed("an event is no JSON object")
        if chunk.get("error"):
            said = chunk["error"]
            raise ErrorInStream(str(said.get("message", said) if isinstance(said, dict) else said))
        self.events += 1
        if self.upstream_id is None and isinstance(chunk.get("id"), str):
            self.upstream_id = chunk["id"]
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            index = choice.get("index", 0) if isinstance(choice, dict) else None
            if not isinstance(index, int):
                raise Malformed("a choice is no object with an index")
            self._choices.add(index)
            if choice.get("finish_reason") is not None:
                self._finished.add(index)
        usage = chunk.get("usage")
        if usage is not None:
            self.usage = usage
            self.tokens = tokens_of(usage)
            return bool(choices) or self.keep_usage
        return True


def _data(event: bytes) -> bytes | None:
    """The data of an event; ``None`` for comments and other fields alone."""
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
