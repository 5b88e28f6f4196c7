"""One HTTP/1.1 exchange with an engine on loopback, on a connection of its own, with nothing between it and the socket.

A general client's sessions, pools and name look-ups cost more than all else that the runner does for a request, and the
first token waits for them. Reused connections to llama.cpp's server were seen to lose requests: none is reused.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httptools

# An engine that is gone refuses at once. One that waits for a processor lets its queue of five fill up: patience helps.
_CONNECT_SECONDS = 60.0
_MOST_UNREAD = 1 << 20


class WireError(ConnectionError):
    """The engine is not there, or what it sends is no whole answer."""


class Exchange(asyncio.Protocol):
    """The answer to one request, as it comes."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._blocks: deque[bytes] = deque()
        self._unread = 0
        self._begun = self._whole = False
        self._lost: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    async def status(self) -> int:
        """The HTTP status, as soon as it is there. Raises :class:`WireError`."""
        while not self._begun:
            await self._more()
        return int(self._parser.get_status_code())

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises :class:`WireError` where it ends too early."""
        while True:
            while self._blocks:
                block = self._blocks.popleft()
                self._unread -= len(block)
                yield block
            if self._whole:
                return
            if self._transport is not None:
                self._transport.resume_reading()
            await self._more()

    async def body(self) -> bytes:
        """The whole body. Raises :class:`WireError`."""
        return b"".join([block async for block in self.blocks()])

    async def _more(self) -> None:
        if self._lost is not None:
            raise WireError(f"the engine stopped answering: {self._lost!r}") from self._lost
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's is asked for below

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._lost = error
        if self._unread > _MOST_UNREAD and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._whole and self._lost is None:
            self._lost = error or ConnectionError("connection closed")
        self._wake()

    # the parser's side

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_body(self, block: bytes) -> None:
        self._blocks.append(block)
        self._unread += len(block)

    def on_message_complete(self) -> None:
        self._whole = True

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


@asynccontextmanager
async def exchange(port: int, method: str, path: str, key: str, body: bytes = b"") -> AsyncIterator[Exchange]:
    """Send a request; leaving the block closes the connection, and so tells the engine that nobody listens.

    Raises :class:`WireError` where nobody answers the port.
    """
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            transport, answer = await _send(port, head.encode() + body)
    except (OSError, TimeoutError) as error:
        raise WireError(f"the engine does not answer: {error!r}") from error
    try:
        yield answer
    finally:
        transport.abort()


async def _send(port: int, request: bytes) -> tuple[asyncio.Transport, Exchange]:
    """Connect and send, on loopback in one go: the request is there before other requests have their turn."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):  # loopback has answered by the time of the next call
            sock.connect(("127.0.0.1", port))
        await loop.sock_sendall(sock, request)
        return await loop.create_connection(Exchange, sock=sock)
    except BaseException:
        sock.close()
        raise
