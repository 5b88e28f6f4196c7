"""A load generator on bare protocols, so that it costs little beside what it measures.

Each client sends its next request when the answer to the last one is complete, until the time is up.
"""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Load:
    """What one round saw. Times in seconds."""

    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    seconds: float = 0.0
    failed: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.whole) / self.seconds


class _Client(asyncio.Protocol):
    """One connection. Knows just enough HTTP to see an answer's first bytes of content and its end."""

    def __init__(self, request: bytes, load: Load, until: float) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._load = load
        self._until = until
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._length: int | None = None
        self._started = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that ends before the time is up is a failure."""
        if not self.ended.done():
            self._load.failed += 1
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Look for the end of the answer."""
        if not self._started:
            self._buffer += data
            head, found, data = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._started = True
            self._buffer = b""
            head = head.lower()
            if not head.startswith(b"http/1.1 200"):
                self._load.failed += 1
            _, counted, rest = head.partition(b"content-length:")
            self._length = int(rest.partition(b"\r\n")[0]) if counted else None
            self._streams = not counted
        if self._length is not None:
            self._length -= len(data)
            if self._length <= 0:
                self._done()
            return
        if self._streams and data:
            self._load.first.append(time.perf_counter() - self._began)
            self._streams = False
        self._buffer = (self._buffer + data)[-7:]
        if self._buffer.endswith(b"\r\n0\r\n\r\n"):
            self._done()

    def _send(self) -> None:
        self._buffer, self._length, self._started = b"", None, False
        self._began = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._request)

    def _done(self) -> None:
        now = time.perf_counter()
        self._load.whole.append(now - self._began)
        if now < self._until:
            self._send()
            return
        self.ended.set_result(None)
        if self._transport is not None:
            self._transport.close()


async def drive(port: int, request: bytes, *, clients: int, seconds: float) -> Load:
    """Keep ``clients`` connections busy for so long."""
    load = Load()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(lambda: _Client(request, load, began + seconds), "127.0.0.1", port)
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.ended for _, client in made))
    load.seconds = time.perf_counter() - began
    return load
