"""The request path's HTTP client, against a server that sends exactly the bytes that a test gives it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import trustme
from yarl import URL

from inference_gateway.api.http_client import Answer, Client
from shipjury_standalone.testing import wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Provider:
    """Answers request by request with the bytes in ``says``; ``None`` closes the connection."""

    def __init__(self) -> None:
        self.says: list[bytes | None] = []
        self.heard: list[bytes] = []
        self.connections = 0
        self.url = URL()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while self.says:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                self.heard.append(head + await reader.readexactly(length))
                await self.may_answer.wait()
                while self.says and (piece := self.says.pop(0)) is not None:
                    writer.write(piece)
                    await writer.drain()
                    if piece.endswith((b"hello", b"0\r\n\r\n")):
                        break
                else:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    """A listening provider."""
    made = Provider()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat?a=b")
    yield made
    server.close()


@pytest_asyncio.fixture
async def over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[trustme.CA, trustme.LeafCert], Awaitable[Provider]]]:
    """Starts a provider that shows a certificate, on a machine that trusts one authority."""
    servers: list[asyncio.Server] = []

    async def start(trusted: trustme.CA, shown: trustme.LeafCert) -> Provider:
        trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown.configure_cert(context)
        made = Provider()
        servers.append(await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context))
        made.url = URL(f"https://localhost:{servers[-1].sockets[0].getsockname()[1]}/v1/chat?a=b")
        return made

    yield start
    for server in servers:
        server.close()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Callable[..., Client]]:
    """Makes clients that are closed after the test."""
    made: list[Client] = []

    def make(limit: int = 4, connect_s: float = 2.0) -> Client:
        made.append(Client(limit=limit, connect_s=connect_s))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def _text(answer: Awaitable[object]) -> bytes:
    async with await answer as got:  # type: ignore[attr-defined]
        return bytes(await got.read())


async def _pieces(answer: Answer) -> AsyncIterator[bytes]:
    while piece := await answer.readany():
        yield piece


@pytest.mark.asyncio
async def test_requests_one_after_the_other_share_a_connection(
    provider: Provider, client: Callable[..., Client]
) -> None:
    calls = client()
    provider.says = [OK, OK]
    assert await _text(calls.post(provider.url, b"{}", {"X-A": "1"})) == b"hello"
    assert await _text(calls.post(provider.url, b"{}", {})) == b"hello"
    assert provider.connections == 1
    first = provider.heard[0]
    assert first.startswith(b"POST /v1/chat?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-A: 1\r\n" in first
    assert first.endswith(b"\r\n\r\n{}")


@pytest.mark.asyncio
async def test_an_answer_in_chunks_is_read_as_it_comes(provider: Provider, client: Callable[..., Client]) -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n"
    provider.says = [head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"]
    async with await client().post(provider.url, b"", {}) as answer:
        assert answer.status == 200
        assert answer.headers.get("retry-after") == "7"
        assert b"".join([part async for part in _pieces(answer)]) == b"abcde"


@pytest.mark.asyncio
async def test_reading_up_to_a_limit_leaves_the_rest(provider: Provider, client: Callable[..., Client]) -> None:
    provider.says = [OK]
    async with await client().post(provider.url, b"", {}) as answer:
        assert await answer.read(2) == b"he"
        assert await answer.read() == b"llo"
        assert await answer.readany() == b""


@pytest.mark.asyncio
async def test_a_body_without_a_length_ends_with_its_connection(
    provider: Provider, client: Callable[..., Client]
) -> None:
    provider.says = [b"HTTP/1.1 200 OK\r\n\r\nall of it", None]
    assert await _text(client().post(provider.url, b"", {})) == b"all of it"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_that_breaks_off_is_an_error(
    provider: Provider, client: Callable[..., Client], said: bytes
) -> None:
    provider.says = [said, None]
    with pytest.raises(aiohttp.ClientError):
        await _text(client().post(provider.url, b"", {}))


@pytest.mark.asyncio
async def test_an_answer_that_is_left_unread_does_not_meet_the_next_request(
    provider: Provider, client: Callable[..., Client]
) -> None:
    calls = client()
    provider.says = [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst", None, OK]
    async with await calls.post(provider.url, b"", {}) as answer:
        assert answer.status == 200
    assert await _text(calls.post(provider.url, b"", {})) == b"hello"
    assert provider.connections == 2


@pytest.mark.asyncio
async def test_a_call_that_is_cancelled_does_not_give_its_answer_to_the_next(
    provider: Provider, client: Callable[..., Client]
) -> None:
    calls = client()
    provider.says = [OK, OK]
    provider.may_answer.clear()
    waiting = asyncio.create_task(calls.post(provider.url, b"1", {}))
    await wait_until(lambda: bool(provider.heard))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    provider.may_answer.set()
    assert await _text(calls.post(provider.url, b"2", {})) == b"hello"
    assert provider.connections == 2


@pytest.mark.asyncio
async def test_no_more_connections_than_the_limit_and_each_waits_its_turn(
    provider: Provider, client: Callable[..., Client]
) -> None:
    calls = client(limit=2)
    provider.says = [OK] * 12
    bodies = await asyncio.gather(*(_text(calls.post(provider.url, b"", {})) for _ in range(12)))
    assert bodies == [b"hello"] * 12
    assert provider.connections == 2


@pytest.mark.asyncio
async def test_a_port_where_nobody_listens_is_no_connection(client: Callable[..., Client]) -> None:
    with pytest.raises(aiohttp.ClientConnectorError):
        await client().post(URL("http://127.0.0.1:1/"), b"", {})


@pytest.mark.asyncio
async def test_a_line_break_in_a_header_is_never_sent(provider: Provider, client: Callable[..., Client]) -> None:
    with pytest.raises(aiohttp.ClientError):
        await client().post(provider.url, b"", {"Authorization": "Bearer a\r\nX-B: c"})
    assert provider.connections == 0


@pytest.mark.asyncio
async def test_over_tls_a_connection_is_kept_and_a_long_answer_is_whole(
    over_tls: Callable[..., Awaitable[Provider]], client: Callable[..., Client]
) -> None:
    authority = trustme.CA()
    provider, calls = await over_tls(authority, authority.issue_cert("localhost")), client()
    megabyte = bytes(range(256)) * 4096
    long = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"100000\r\n" + megabyte + b"\r\n"] * 8]
    provider.says = [OK, *long, b"0\r\n\r\n"]
    assert await _text(calls.post(provider.url, b"{}", {})) == b"hello"
    assert await _text(calls.post(provider.url, b"{}", {})) == megabyte * 8
    assert provider.connections == 1
    assert provider.heard[0].startswith(b"POST /v1/chat?a=b HTTP/1.1\r\nHost: localhost:")


@pytest.mark.asyncio
@pytest.mark.parametrize("wrong", ["name", "authority", "date"])
async def test_who_cannot_prove_its_name_hears_nothing(
    over_tls: Callable[..., Awaitable[Provider]], client: Callable[..., Client], wrong: str
) -> None:
    """Neither the prompt nor the key."""
    authority, other = trustme.CA(), trustme.CA()
    shown = {
        "name": lambda: authority.issue_cert("example.org"),
        "authority": lambda: other.issue_cert("localhost"),
        "date": lambda: authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1)),
    }[wrong]()
    provider = await over_tls(authority, shown)
    provider.says = [OK]
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await client().post(provider.url, b"{}", {"Authorization": "Bearer secret"})
    assert isinstance(caught.value.os_error, ssl.SSLCertVerificationError)
    assert provider.heard == []
