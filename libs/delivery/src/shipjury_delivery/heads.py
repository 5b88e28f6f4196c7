"""Bounds on the heads of requests, which uvicorn has none for: how large one may be, and how long it may take.

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
_LOOK_SECONDS = 5.0


class HeadsProtocol(OneWriteProtocol):
    """For ``uvicorn.Config(http=...)``, with :func:`watch_heads` beside it."""

    _since: float | None = None
    """When the head began that is not complete yet, or the connection that has sent nothing."""
    _head_bytes = 0
    _answered: Any = None
    """The request that has its answer and whose body still comes, and when that was seen."""
    _answered_at = 0.0

    def connection_made(self, transport: Any) -> None:
        """asyncio: a client is there."""
        super().connection_made(transport)
        self._since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes. Refuses a head that is too large with 431."""
        before = self._since
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
        """Refuse a head that has taken too long with 408, and end a body that goes on that long after its answer.

        A head behind an answer that is still going out may wait.
        """
        if self._answering() or self.flow.read_paused or self.transport.is_closing():
            return
        if self._since is not None:
            if now - self._since > HEAD_SECONDS:
                self._refuse(b"408 Request Timeout")
        elif self.cycle is not None and self.cycle.more_body:
            if self._answered is not self.cycle:
                self._answered, self._answered_at = self.cycle, now
            elif now - self._answered_at > HEAD_SECONDS:
                self.transport.close()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: bytes) -> None:
        if not self._answering():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


async def watch_heads(connections: set[Any]) -> None:
    """Look at a server's connections now and then, without an end."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        now = asyncio.get_running_loop().time()
        for connection in [one for one in connections if isinstance(one, HeadsProtocol)]:
            connection.refuse_if_late(now)
