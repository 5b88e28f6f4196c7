"""A whole answer is one write; everything else goes uvicorn's own way, and nothing is lost between the two."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from shipjury_delivery.one_write import OneWriteProtocol
from shipjury_delivery.testing import until

ASK = b"GET /it HTTP/1.1\r\nHost: here\r\n\r\n"
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Transport(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 1)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        if data:
            self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def asked(*messages: dict[str, Any] | Exception, ask: bytes = ASK, answers: int = 1) -> Transport:
    """What a connection gets to write where the app sends these messages for each request."""
    done = 0

    async def app(scope: Any, receive: Any, send: Send) -> None:
        nonlocal done
        try:
            for message in messages:
                if isinstance(message, Exception):
                    raise message
                await send(message)
        finally:
            done += 1

    state = ServerState()
    protocol = OneWriteProtocol(uvicorn.Config(app, log_config=None, lifespan="off"), state, {})
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(ask)

    async def over() -> bool:
        return done == answers and not state.tasks

    await until(over)
    protocol.connection_lost(None)
    return transport


def length(data: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(data)).encode()


async def test_a_whole_answer_is_one_write_and_the_connection_stays() -> None:
    transport = await asked(start(length(b"hello"), (b"X-One", b"1")), body(b"hello"))
    [written] = transport.writes
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-one: 1\r\n" in written
    assert written.endswith(b"\r\n\r\nhello")
    assert b"connection" not in written


async def test_requests_in_one_packet_are_answered_one_after_the_other() -> None:
    transport = await asked(start(length(b"hello")), body(b"hello"), ask=ASK * 3, answers=3)
    assert len(transport.writes) == 3
    assert all(written.endswith(b"hello") for written in transport.writes)


@pytest.mark.parametrize(
    ("ask", "headers"),
    [
        (b"GET /it HTTP/1.0\r\n\r\n", ()),
        (b"GET /it HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", ()),
        (ASK, ((b"connection", b"close"),)),
    ],
)
async def test_a_connection_that_ends_with_its_answer_says_so_once(ask: bytes, headers: Any) -> None:
    transport = await asked(start(length(b"hello"), *headers), body(b"hello"), ask=ask)
    [written] = transport.writes
    assert written.count(b"connection: close\r\n") == 1
    assert transport.closed


@pytest.mark.parametrize(
    "messages",
    [
        (start(), body(b"hel", more=True), body(b"lo")),
        (start(length(b"hello")), body(b"hel", more=True), body(b"lo")),
    ],
)
async def test_an_answer_in_pieces_is_written_as_it_comes(messages: Any) -> None:
    transport = await asked(*messages)
    assert len(transport.writes) >= 3
    assert b"hel" in transport.writes[1]


async def test_an_answer_to_head_has_no_body() -> None:
    transport = await asked(start(length(b"hello")), body(b"hello"), ask=ASK.replace(b"GET", b"HEAD"))
    assert b"".join(transport.writes).endswith(b"content-length: 5\r\n\r\n")


@pytest.mark.parametrize(
    "messages",
    [
        (start(length(b"hello")), ValueError("a fault of the app")),
        (start(length(b"hello")),),
        (start(length(b"hello")), body(b"hello there")),
        (start(length(b"hello")), body(b"hell")),
        (start(length(b"hello"), (b"x-one", b"1\r\nx-two: 2")), body(b"hello")),
        (start(length(b"hello"), (b"x one", b"1")), body(b"hello")),
    ],
    ids=["it fails", "it ends", "too long", "too short", "a line break in a header", "a space in a name"],
)
async def test_an_app_that_fails_before_its_answer_is_out_is_answered_for_with_a_500(messages: Any) -> None:
    written = b"".join((await asked(*messages)).writes)
    assert written.startswith(b"HTTP/1.1 500 ")
    assert written.count(b"HTTP/1.1") == 1
    assert b"x-two" not in written
