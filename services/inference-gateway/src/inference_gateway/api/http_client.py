"""The HTTP/1.1 client of the request path: kept connections, one request after the other on each, parsed by httptools.

It does what calls to providers need (POST, TLS, bodies in one piece or as they come, backpressure) and nothing else:
no redirects, no cookies, no proxies, no compression, no sending again. Its errors are aiohttp's, so that whoever knows
those knows these. What it costs beside aiohttp's own session: see docs/decisions.
"""

import asyncio
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Self

import aiohappyeyeballs
import aiohttp
import httptools
from multidict import CIMultiDict
from yarl import URL

Origin = tuple[str, str, int]
_HIGH_WATER = 256 * 1024
_ATTEMPT_DELAY_S = 0.25
"""When the next address of a name is tried beside one that does not answer (RFC 8305)."""


class AddressNotAllowed(OSError):
    """A node's address lies outside of the networks that nodes may have."""


class Answer:
    """What a provider answers: status and headers are there, the body comes."""

    def __init__(self, connection: "_Connection", status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self._raw_headers = headers
        self._connection = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = False
        self._fault: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def headers(self) -> CIMultiDict[str]:
        """All headers, found whatever their case."""
        return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._raw_headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the connection back; one that is not read to its end is closed."""
        if not self._ended:
            self.close()

    def close(self) -> None:
        """Leave the connection, whatever still comes."""
        self._connection.abandon(self)

    async def readany(self) -> bytes:
        """What has come since the last call, at least a byte; nothing at the end. Raises aiohttp's errors."""
        while not self._parts:
            if self._fault is not None:
                raise self._fault
            if self._ended:
                return b""
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        parts, self._parts = self._parts, []
        if self._size > _HIGH_WATER:
            self._connection.resume()
        self._size = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def read(self, limit: int = -1) -> bytes:
        """The body, or its first ``limit`` bytes; what follows those stays to be read."""
        parts, length = [], 0
        while limit < 0 or length < limit:
            part = await self.readany()
            if not part:
                break
            parts.append(part)
            length += len(part)
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if 0 <= limit < length:
            self._parts.insert(0, whole[limit:])
            self._size += length - limit
            return whole[:limit]
        return whole

    def feed(self, data: bytes) -> bool:
        """More of the body. Returns whether the reader is behind."""
        self._parts.append(data)
        self._size += len(data)
        self._wake()
        return self._size > _HIGH_WATER

    def end(self, fault: Exception | None = None) -> None:
        """The body is complete, or it will never be."""
        if fault is None:
            self._ended = True
        else:
            self._fault = fault
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class _Connection(asyncio.Protocol):
    """One connection to a provider."""

    def __init__(self, client: "Client", origin: Origin) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[Answer] | None = None
        self._answer: Answer | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._paused = False

    @property
    def usable(self) -> bool:
        """Whether a request may go out on it."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Answer:
        """Send a request; returns when the answer's head has come."""
        assert self._transport is not None  # noqa: S101 - only usable connections are given out
        head: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._head = head
        self._transport.write(request)
        try:
            return await head
        except asyncio.CancelledError:
            # Where the answer is complete already, somebody else may be using the connection.
            if self._head is head or (self._answer is not None and head.done() and head.result() is self._answer):
                self.close()
            raise

    def abandon(self, answer: Answer) -> None:
        """Close, where ``answer`` is still the one that is being read."""
        if self._answer is answer:
            self.close()

    def resume(self) -> None:
        """The reader has caught up."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Parse. What comes unasked, or is no HTTP, ends the connection."""
        if self._head is None and self._answer is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(aiohttp.ClientPayloadError(f"the answer is not HTTP: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for something hears of it; a body without a length ends so."""
        self._transport = None
        if self._answer is not None and exc is None and not _has_length(self._headers):
            self._answer.end()
            self._answer = None
        elif isinstance(exc, OSError):
            self._fail(aiohttp.ClientOSError(exc.errno, str(exc)))
        elif self._answer is not None:
            self._fail(aiohttp.ClientPayloadError("the connection was lost before the answer was complete"))
        else:
            self._fail(aiohttp.ServerDisconnectedError())
        self._client.lost(self)

    def on_message_begin(self) -> None:
        """httptools: an answer begins."""
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """httptools: the head is complete; interim answers (1xx) are passed over."""
        status = self._parser.get_status_code()
        head = self._head
        if status < 200 or head is None:
            return
        self._head = None
        self._answer = Answer(self, status, self._headers)
        if not head.done():
            head.set_result(self._answer)

    def on_body(self, data: bytes) -> None:
        """httptools: a piece of the body."""
        if self._answer is not None and self._answer.feed(data) and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """httptools: the answer is complete; the connection may take another request."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        answer.end()
        self.resume()
        if self._parser.should_keep_alive() and self.usable:
            self._client.give_back(self)
        else:
            self.close()

    def _fail(self, fault: Exception) -> None:
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_exception(fault)
        if self._answer is not None:
            self._answer.end(fault)
            self._answer = None


class Client:
    """A pool of at most ``limit`` connections. ``allowed`` says which addresses (as text) may be connected to."""

    def __init__(
        self, *, limit: int, connect_s: float, keep_s: float = 30.0, allowed: Callable[[str], bool] | None = None
    ) -> None:
        self._limit = limit
        self._connect_s = connect_s
        self._keep_s = keep_s
        self._allowed = allowed
        self._idle: defaultdict[Origin, list[_Connection]] = defaultdict(list)
        self._open: set[_Connection] = set()
        self._connecting = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._tls: ssl.SSLContext | None = None

    async def post(self, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a request; the answer's head has come when this returns. Raises aiohttp's errors, and what is raised
        where no address of the host is allowed."""
        origin, begin = _begin(url)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if lines.count("\n") != len(headers):
            raise aiohttp.ClientPayloadError("a header's value contains a line break")
        connection = self._kept(origin) or await self._connected(origin)
        return await connection.exchange(
            b"%b%bContent-Length: %d\r\n\r\n%b" % (begin, lines.encode("latin-1"), len(body), body)
        )

    async def close(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            connection.close()

    def give_back(self, connection: _Connection) -> None:
        """A connection waits for its next request."""
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle[connection.origin].append(connection)
        self._next()

    def lost(self, connection: _Connection) -> None:
        """A connection is closed."""
        self._open.discard(connection)
        idle = self._idle[connection.origin]
        if connection in idle:
            idle.remove(connection)
        self._next()

    def _kept(self, origin: Origin) -> _Connection | None:
        """The connection that was used last; those that were not used for long are closed."""
        idle = self._idle[origin]
        if not idle:
            return None
        connection = idle.pop()
        if asyncio.get_running_loop().time() - connection.idle_since < self._keep_s and connection.usable:
            return connection
        for old in (connection, *idle):
            old.close()
        idle.clear()
        return None

    async def _connected(self, origin: Origin) -> _Connection:
        """A new connection, or one that comes free, within the deadline to connect."""
        try:
            async with asyncio.timeout(self._connect_s):
                while len(self._open) + self._connecting >= self._limit:
                    turn = asyncio.get_running_loop().create_future()
                    self._queue.append(turn)
                    await turn
                    if (kept := self._kept(origin)) is not None:
                        return kept
                    self._make_room()
                self._connecting += 1
                try:
                    return await self._connect(origin)
                finally:
                    self._connecting -= 1
        except BaseException as error:
            self._next()  # The turn may have been given to this one.
            if isinstance(error, TimeoutError):
                told = f"no connection to {origin[1]} within {self._connect_s} s"
                raise aiohttp.ConnectionTimeoutError(told) from error
            raise

    def _make_room(self) -> None:
        """Close a connection to another host of the same provider, where there is an idle one."""
        if len(self._open) + self._connecting >= self._limit:
            for idle in self._idle.values():
                if idle:
                    idle.pop(0).close()
                    return

    def _next(self) -> None:
        """Let the next one in the queue try."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _connect(self, origin: Origin) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [one for one in found if self._allowed is None or self._allowed(str(one[4][0]))]
            if not addresses:
                raise AddressNotAllowed(f"{host} is outside of the networks that edge nodes may have")
            connected = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_ATTEMPT_DELAY_S, interleave=1
            )
            if scheme == "https" and self._tls is None:
                self._tls = ssl.create_default_context()
            _, connection = await loop.create_connection(
                lambda: _Connection(self, origin),
                sock=connected,
                ssl=self._tls if scheme == "https" else None,
                server_hostname=host if scheme == "https" else None,
            )
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise aiohttp.ClientConnectorError(SimpleNamespace(host=host, port=port, ssl=True), error) from error  # type: ignore[arg-type]
        self._open.add(connection)
        return connection


@lru_cache(maxsize=1024)
def _begin(url: URL) -> tuple[Origin, bytes]:
    """Where a request goes, and how it begins."""
    if url.scheme not in ("http", "https") or url.host is None or url.port is None:
        raise aiohttp.InvalidURL(url)
    begin = (
        f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"
        "User-Agent: shipjury-gateway\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    )
    return (url.scheme, url.host, url.port), begin.encode("ascii")


def _has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the end of an answer shows without its connection's end."""
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in headers)
