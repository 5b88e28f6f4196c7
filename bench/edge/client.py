"""A client that costs next to nothing: one connection a request, server-sent events counted as they come."""

import asyncio
import time
from dataclasses import dataclass

import orjson
from node import Door


@dataclass(frozen=True)
class Timed:
    """One streamed answer: when it was asked, when each event with text came (monotonic seconds), how it ended."""

    asked: float
    came: tuple[float, ...]
    finish: str | None
    usage: dict[str, int] | None = None
    status: int = 200

    @property
    def first(self) -> float:
        """Seconds to the first token."""
        return self.came[0] - self.asked

    @property
    def rate(self) -> float:
        """Tokens a second after the first."""
        return (len(self.came) - 1) / (self.came[-1] - self.came[0])


async def stream(door: Door, path: str, body: dict[str, object]) -> Timed:
    """Ask for a stream and time it. An answer that is no stream, or is cut, comes back without ``finish``."""
    content = orjson.dumps(body | {"stream": True, "stream_options": {"include_usage": True}})
    asked = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1 << 24)
    try:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.key}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        return await _read(reader, asked)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, asked: float) -> Timed:
    head = await reader.readuntil(b"\r\n\r\n")
    came: list[float] = []
    finish, usage = None, None
    async for event in _events(reader):
        now = time.monotonic()
        if event == b"[DONE]":
            break
        chunk = orjson.loads(event)
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", ()):
            finish = choice.get("finish_reason") or finish
            if choice.get("text") or choice.get("delta", {}).get("content"):
                came.append(now)
    return Timed(asked, tuple(came), finish, usage, int(head.split(b" ", 2)[1]))


async def _events(reader: asyncio.StreamReader):  # type: ignore[no-untyped-def]
    """The data of each event of a chunked body."""
    rest = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        rest += (await reader.readexactly(size + 2))[:-2]
        *events, rest = rest.split(b"\n\n")
        for event in events:
            if event.startswith(b"data: "):
                yield event[6:]
