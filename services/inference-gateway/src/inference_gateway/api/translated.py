"""Another API in front of the request path: its body becomes a chat completion's, and what comes back becomes its own.

Between client and request path, on ASGI: nothing of planning, budgets, attempts and the ledger is different for it. The
body is translated when the request path reads it, after it has authenticated; answers when they are whole; streams
event by event.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import structlog

from ..domain.errors import GatewayError
from ..domain.translation import malformed
from .http import Receive, Send, parse, read_body, respond

_log = structlog.get_logger("inference_gateway.translated")
_DONE = b"[DONE]"


class Events(Protocol):
    """A stream in the client's API."""

    def chunk(self, chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a chat completion's chunk."""

    def done(self) -> Iterator[dict[str, Any]]:
        """The events of its end."""

    def failed(self, body: Any, status: int, request_id: str | None) -> Iterator[dict[str, Any]]:
        """The events of a stream that broke."""


class Api(Protocol):
    """What one request of the client's API becomes, and what comes back. One for each request."""

    def chat(self, body: Any) -> dict[str, Any]:
        """The chat completion body. Raises :class:`GatewayError` that names what cannot be carried."""

    def answer(self, answer: Any, request_id: str) -> dict[str, Any]:
        """A whole answer."""

    def events(self, request_id: str) -> Events:
        """A stream's events."""

    def error(self, body: Any, status: int, request_id: str | None) -> dict[str, Any]:
        """An error."""


@dataclass(slots=True)
class _Answer:
    """An answer that has begun: its status, headers, and what of its body is kept."""

    status: int
    headers: list[tuple[bytes, bytes]]
    request_id: str
    parts: list[bytes]


class Translated:
    """`receive` and `send` for the request path, over the client's own."""

    def __init__(self, api: Api, receive: Receive, send: Send) -> None:
        self._api = api
        self._client_receive = receive
        self._client_send = send
        self._read = False
        self._answer: _Answer | None = None
        self._events: Events | None = None
        self._buffer = b""
        self._failed = False

    async def receive(self) -> Any:
        """The translated body, once; afterwards what the client's connection says."""
        if self._read:
            return await self._client_receive()
        self._read = True
        raw = await read_body(self._client_receive)
        return {"type": "http.request", "body": orjson.dumps(self._api.chat(parse(raw))), "more_body": False}

    async def send(self, message: Any) -> None:
        """Take what the request path answers; pass on what it is in the client's API."""
        if message["type"] == "http.response.start":
            await self._start(message)
        elif self._events is not None:
            await self._relay(message)
        elif self._answer is not None:
            self._answer.parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._whole(self._answer)
        else:
            await self._client_send(message)

    async def _start(self, message: Any) -> None:
        headers = list(message["headers"])
        named = dict(headers)
        request_id = named.get(b"x-shipjury-request-id", b"").decode()
        headers.append((b"request-id", request_id.encode()))
        self._answer = _Answer(message["status"], headers, request_id, [])
        if named.get(b"content-type", b"").startswith(b"text/event-stream"):
            self._events = self._api.events(request_id)
            await self._client_send({**message, "headers": headers})

    async def _whole(self, held: _Answer) -> None:
        raw = b"".join(held.parts)
        headers = [pair for pair in held.headers if pair[0] != b"content-length"]
        told = orjson.loads(raw)
        if held.status == 200:
            try:
                with _as_malformed():
                    body = self._api.answer(told, held.request_id)
            except GatewayError as error:
                _log.warning("an answer has no translation", request_id=held.request_id, error=error.message)
                held.status, body = error.status, self._api.error(error.body(), error.status, held.request_id)
        else:
            body = self._api.error(told, held.status, held.request_id)
        await respond(self._client_send, held.status, orjson.dumps(body), headers)

    async def _relay(self, message: Any) -> None:
        """Whole events out of the bytes so far. After one that breaks the stream nothing follows it."""
        events = self._events
        assert events is not None  # noqa: S101 - `send` comes here with a stream only
        self._buffer += message.get("body", b"")
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        out = bytearray()
        for block in blocks:
            if self._failed:
                break
            try:
                with _as_malformed():
                    _encode(self._of(block, events), out)
            except GatewayError as error:
                _log.warning("a stream has no translation", error=error.message)
                self._fail(error.body(), error.status, out)
        more = bool(message.get("more_body"))
        if out or not more:
            await self._client_send({"type": "http.response.body", "body": bytes(out), "more_body": more})

    def _of(self, block: bytes, events: Events) -> Iterable[dict[str, Any]]:
        data = b"".join(line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:"))
        if not data:
            return ()
        if data == _DONE:
            return events.done()
        chunk = orjson.loads(data)
        if chunk.get("error"):
            self._failed = True
            return events.failed(chunk, 502, self._answer.request_id if self._answer else None)
        return events.chunk(chunk)

    def _fail(self, body: Any, status: int, out: bytearray) -> None:
        self._failed = True
        if self._events is not None and self._answer is not None:
            _encode(self._events.failed(body, status, self._answer.request_id), out)


@contextmanager
def _as_malformed() -> Iterator[None]:
    """What a provider sends in the wrong shape is its fault: it is said to the client, not thrown at the gateway."""
    try:
        yield
    except (AttributeError, TypeError, LookupError) as fault:
        raise malformed(f"a part of it has the wrong type ({fault})") from fault


def _encode(events: Iterable[dict[str, Any]], out: bytearray) -> None:
    """Append events as they stand on the wire, each before the next is made."""
    for event in events:
        out += b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
