"""What strangers send has bounds: each body, and all bodies together."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from shipjury_delivery.bodies import BodyLimits, bounded

KB = 1000
LIMITS = BodyLimits(each_bytes=100 * KB, together_bytes=250 * KB)


class Reader:
    """An app that reads a body and then waits until it is let go."""

    def __init__(self, limits: BodyLimits = LIMITS) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.both_read, self.reading = asyncio.Event(), 0
        app = FastAPI()

        @app.post("/raw")
        async def raw(request: Request) -> Response:
            body = await request.body()
            self.reading += 1
            if self.reading == 2:
                self.both_read.set()
            await self.go_on.wait()
            return Response(str(len(body)))

        @app.post("/parsed")
        async def parsed(sent: dict[str, Any]) -> int:
            return len(sent)

        @app.get("/page")
        async def page() -> int:
            return 1

        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(bounded(app, limits)), base_url="http://it.test")


async def pieces(*lengths: int) -> AsyncIterator[bytes]:
    for length in lengths:
        yield b"x" * length


@pytest.mark.parametrize("path", ["/raw", "/parsed"])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(path: str, announced: bool) -> None:
    reader = Reader()
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10_000 * KB:
            sent += 50 * KB
            yield b"x" * 50 * KB

    headers = {"Content-Length": "10000000"} if announced else {}
    answer = await reader.client.post(path, content=endless(), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert answer.json() == {"detail": "a body may have 100,000 bytes"}
    assert sent <= (0 if announced else 150 * KB), "nothing is read beyond the bound"


async def test_the_largest_body_that_may_be_is_read() -> None:
    reader = Reader()
    assert (await reader.client.post("/raw", content=pieces(40 * KB, 60 * KB))).text == "100000"
    assert (await reader.client.post("/raw", content=b"x" * 100 * KB)).text == "100000"
    assert (await reader.client.get("/page")).text == "1"


async def test_all_bodies_together_have_a_bound_and_what_is_answered_makes_room() -> None:
    reader = Reader()
    reader.go_on.clear()
    two = [asyncio.create_task(reader.client.post("/raw", content=b"x" * 100 * KB)) for _ in range(2)]
    await reader.both_read.wait()
    refused = await reader.client.post("/raw", content=b"x" * 70 * KB)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert (await reader.client.get("/page")).status_code == 200, "what has no body goes on"
    assert (await reader.client.post("/parsed", json={})).status_code == 200, "and what has next to none"
    reader.go_on.set()
    assert [one.text for one in await asyncio.gather(*two)] == ["100000", "100000"]
    for _ in range(5):
        assert (await reader.client.post("/raw", content=b"x" * 100 * KB)).status_code == 200
