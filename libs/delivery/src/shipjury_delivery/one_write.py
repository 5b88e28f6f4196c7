"""uvicorn's HTTP protocol, with a whole answer's head and body in one write.

uvicorn writes the two one after the other: two system calls, two packets, and a client that wakes up twice. Whatever
is no whole answer of known length (a stream, an answer to HEAD, a reader who is behind) goes uvicorn's own way.
"""

from typing import Any

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, HttpToolsProtocol

__all__ = ["OneWriteProtocol"]


class _Cycle(httptools_impl.RequestResponseCycle):
    """One request and its answer."""

    _start: Any = None
    """The answer's head, while its body is not there yet."""

    async def send(self, message: Any) -> None:
        """ASGI's send. Raises ``RuntimeError`` where the messages, or the bytes of a header, are not allowed."""
        start, self._start = self._start, None
        if (
            start is None or message["type"] == "http.response.start"
        ):  # a second one: uvicorn's own, of an app that failed
            if self.response_started or not _has_length(message):
                await super().send(message)
            else:
                self._start = message
            return
        if message.get("more_body") or self.flow.write_paused or self.disconnected or self.scope["method"] == "HEAD":
            await super().send(start)
            await super().send(message)
            return
        self._write(start, message.get("body", b""))

    def _write(self, start: Any, body: bytes) -> None:
        status, headers = start["status"], start["headers"]
        names, values = zip(*headers, strict=True)
        if HEADER_RE.search(b"".join(names)) or HEADER_VALUE_RE.search(b"".join(values)):
            raise RuntimeError("Invalid HTTP header.")
        content = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            name = name.lower()
            if name == b"content-length" and int(value) != len(body):
                raise RuntimeError("Response content is not as long as its Content-Length.")
            if name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
            else:
                content += (name, b": ", value, b"\r\n")
        content.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        content.append(body)
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(b"".join(content))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _has_length(message: Any) -> bool:
    if message["type"] != "http.response.start" or message["status"] in (204, 304):
        return False
    return any(name == b"content-length" for name, _ in message.get("headers", ()))


class OneWriteProtocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=...)``."""

    def on_headers_complete(self) -> None:
        """httptools: the head of a request is complete."""
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.__class__ = _Cycle  # uvicorn has no setting for it; what the request is starts in a later turn
