"""How requests arrive: bounds that uvicorn has none for on the size of a head, and on the time of a head and of a body.

Without them a stranger who sends a header without an end, or a byte a minute on each of many connections, takes the
memory or the file descriptors of a service (CWE-400; the second is known as Slowloris).
"""

import asyncio
from typing import Any

from .one_write import OneWriteProtocol

LARGEST_HEAD = 64 * 1024
"""Bytes of request line and headers."""
HEAD_SECONDS = 20.0
"""How long a connection may take to send the head of its first request, and of a later one once that has begun."""
BODY_SECONDS = 60.0
"""How long a body may take, and go on after its request is answered."""
_LOOK_SECONDS = 5.0


class ArrivingProtocol(OneWriteProtocol):
    """For ``uvicorn.Config(http=...)``, with :func:`watch_arriving` beside it."""

    _since: float | None = None
    """When the head began that is not complete yet, or the connection that has sent nothing."""
    _silent = True
    """Nothing has come: a browser that connects early would take a 408 for the answer to its next request."""
    _head_bytes = 0
    _body_of: Any = None
    """The request whose body was coming at the last look, and when that was first seen."""
    _body_since = 0.0

    def connection_made(self, transport: Any) -> None:
        """asyncio: a client is there."""
        super().connection_made(transport)
        self._since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes. Refuses a head that is too large with 431."""
        before, self._silent = self._since, False
        super().data_received(data)
        if self._since is None or self._since != before or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > LARGEST_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """httptools: the first byte of a head."""
        super().on_message_begin()
        self._since, self._head_bytes = self.loop.time(), 0

    def on_headers_complete(self) -> None:
        """httptools: a head is complete."""
        super().on_headers_complete()
        self._since = None

    def refuse_if_late(self, now: float) -> None:
        """Refuse what has taken too long with 408; only close where the answer is out already.

        What the service itself has not taken is not late, nor is a head behind an answer that is still going out.
        """
        if self.flow.read_paused or self.transport.is_closing():
            return
        request = self.cycle
        answering = request is not None and not request.response_complete
        if self._since is not None:
            late = not answering and now - self._since > HEAD_SECONDS
        elif request is None or not request.more_body:
            late = False
        elif self._body_of is not request:
            self._body_of, self._body_since, late = request, now, False
        else:
            late = now - self._body_since > BODY_SECONDS
        if late:
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        head_is_next = self._since is not None and (self.cycle is None or self.cycle.response_complete)
        unanswered = self.cycle is not None and not self.cycle.response_started
        if not self._silent and (head_is_next or unanswered):
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


async def watch_arriving(connections: set[Any]) -> None:
    """Look at a server's connections now and then, without an end."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        now = asyncio.get_running_loop().time()
        for connection in [one for one in connections if isinstance(one, ArrivingProtocol)]:
            connection.refuse_if_late(now)
