"""What strangers send has bounds: each body, all bodies together, and how long one takes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from shipjury_delivery.bodies import BodyLimits, bounded

LIMITS = BodyLimits(each_bytes=1000, together_bytes=2500, seconds=0.2)


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


async def pieces(*lengths: int, then: Callable[[], Any] | None = None) -> AsyncIterator[bytes]:
    for length in lengths:
        yield b"x" * length
    if then is not None:
        await then()


@pytest.mark.parametrize("path", ["/raw", "/parsed"])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(path: str, announced: bool) -> None:
    reader = Reader()
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 500
            yield b"x" * 500

    headers = {"Content-Length": "100000"} if announced else {}
    answer = await reader.client.post(path, content=endless(), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert answer.json() == {"detail": "a body may have 1,000 bytes"}
    assert sent <= (0 if announced else 1500), "nothing is read beyond the bound"


async def test_the_largest_body_that_may_be_is_read() -> None:
    reader = Reader()
    assert (await reader.client.post("/raw", content=pieces(400, 600))).text == "1000"
    assert (await reader.client.post("/raw", content=b"x" * 1000)).text == "1000"
    assert (await reader.client.get("/page")).text == "1"


async def test_all_bodies_together_have_a_bound_and_what_is_answered_makes_room() -> None:
    reader = Reader()
    reader.go_on.clear()
    two = [asyncio.create_task(reader.client.post("/raw", content=b"x" * 1000)) for _ in range(2)]
    await reader.both_read.wait()
    refused = await reader.client.post("/raw", content=b"x" * 501)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert (await reader.client.get("/page")).status_code == 200, "what has no body goes on"
    reader.go_on.set()
    assert [one.text for one in await asyncio.gather(*two)] == ["1000", "1000"]
    for _ in range(5):
        assert (await reader.client.post("/raw", content=b"x" * 1000)).status_code == 200


async def test_a_body_that_never_ends_is_refused_and_makes_room() -> None:
    reader = Reader()
    stalled = [
        reader.client.post(path, content=pieces(900, then=lambda: asyncio.sleep(60))) for path in ("/raw", "/parsed")
    ]
    for answer in await asyncio.gather(*stalled):
        assert (answer.status_code, answer.headers["connection"]) == (408, "close")
        assert "0.2 s" in answer.json()["detail"]
    both = [reader.client.post("/raw", content=b"x" * 1000) for _ in range(2)]
    assert [one.status_code for one in await asyncio.gather(*both)] == [200, 200]


async def test_a_long_answer_is_not_ended_by_the_time_that_its_body_may_take() -> None:
    reader = Reader()
    reader.go_on.clear()
    asked = asyncio.create_task(reader.client.post("/raw", content=b"x"))
    await asyncio.sleep(2 * LIMITS.seconds)
    reader.go_on.set()
    assert (await asked).status_code == 200
