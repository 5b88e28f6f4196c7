"""What comes without an end, or a byte at a time, costs a stranger the connection and nobody else anything."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shipjury_delivery import arriving
from shipjury_delivery.serving import bind, serve

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
READ = b"POST /read HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n"
SLOW = b"POST /slow HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nx"


HEARD: asyncio.Queue[str] = asyncio.Queue()
"""What the app was told last, where it read a body."""
GO_ON = asyncio.Event()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, `/slow` when it is let, `/read` when it has the body."""
    if scope["path"] == "/slow":
        await GO_ON.wait()
    if scope["path"] == "/read":
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        HEARD.put_nowait(message["type"])
    length = str(len(scope["path"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest_asyncio.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server that looks at its connections often, and is as patient as ever until :func:`hurry`."""
    monkeypatch.setattr(arriving, "HEAD_SECONDS", arriving.HEAD_SECONDS)
    monkeypatch.setattr(arriving, "BODY_SECONDS", arriving.BODY_SECONDS)
    monkeypatch.setattr(arriving, "_LOOK_SECONDS", 0.05)
    GO_ON.clear()
    while not HEARD.empty():
        HEARD.get_nowait()
    listening, stop = bind("127.0.0.1", 0), asyncio.Event()
    number = listening.getsockname()[1]
    serving = asyncio.create_task(serve(app, listening, stop))
    yield number
    stop.set()
    await serving


def hurry() -> None:
    """From now on clients have a fifth of a second."""
    arriving.HEAD_SECONDS = arriving.BODY_SECONDS = 0.2


async def connected(port: int, *sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in sent:
        writer.write(part)
        await writer.drain()
    return reader, writer


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionError:
            return b"(reset)"


async def test_a_head_without_an_end_is_refused(port: int) -> None:
    reader, writer = await connected(port, b"GET / HTTP/1.1\r\nX: ")
    sent = 0
    try:
        while not reader.at_eof() and sent < 100 * arriving.LARGEST_HEAD:
            writer.write(b"x" * 16384)
            sent += 16384
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    assert sent < 100 * arriving.LARGEST_HEAD
    assert (await rest(reader)).startswith((b"HTTP/1.1 431 ", b"(reset)"))


async def test_a_head_of_sixty_kilobytes_is_read(port: int) -> None:
    reader, writer = await connected(port, b"GET / HTTP/1.1\r\nConnection: close\r\nX: ", *[b"x" * 20_000] * 3)
    writer.write(b"\r\n\r\n")
    assert (await rest(reader)).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_that_sends_nothing_is_ended_without_a_word(port: int) -> None:
    reader, writer = await connected(port)
    hurry()
    assert await rest(reader) == b""
    writer.close()


@pytest.mark.parametrize("begun", [b"\r\n", b"GET / HTTP/1.1\r\nHost:", REQUEST + b"GET"])
async def test_a_head_that_does_not_come_is_refused(port: int, begun: bytes) -> None:
    reader, writer = await connected(port, begun)
    told = await reader.readuntil(b"\r\n\r\n/") if begun.startswith(REQUEST) else b""
    await asyncio.sleep(0.1)  # what was sent has come
    hurry()
    told += await rest(reader)
    assert told.endswith(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200 ") == begun.startswith(REQUEST)
    writer.close()


async def test_an_answer_may_take_longer_than_a_head_though_another_head_has_begun(port: int) -> None:
    reader, writer = await connected(port, SLOW + b"xxxxxxxxx" + b"GET")
    hurry()
    await asyncio.sleep(0.5)
    GO_ON.set()
    told = await rest(reader)
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n/slow" in told
    writer.close()


async def test_a_body_that_does_not_come_is_refused_and_the_app_hears_that_nobody_is_there(port: int) -> None:
    reader, writer = await connected(port, READ, b"x")
    await asyncio.sleep(0.1)  # what was sent has come
    hurry()
    assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")
    async with asyncio.timeout(10):
        assert await HEARD.get() == "http.disconnect"
    writer.close()


async def test_a_body_that_comes_in_time_is_read(port: int) -> None:
    reader, writer = await connected(port, READ)
    for _ in range(10):
        writer.write(b"x")
        await writer.drain()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_body_that_drips_on_after_its_answer_ends_the_connection(port: int) -> None:
    reader, writer = await connected(port, b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    hurry()
    try:
        async with asyncio.timeout(10):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
    except ConnectionError:
        pass
    assert await rest(reader) in (b"/", b"(reset)", b"")


async def test_a_connection_is_used_again_and_again(port: int) -> None:
    reader, writer = await connected(port)
    for _ in range(20):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await reader.readexactly(1)
        await asyncio.sleep(0.02)
    writer.close()
