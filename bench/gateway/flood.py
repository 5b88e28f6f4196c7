"""An upstream whose streams are as long as `flood:MEGABYTES` in a request says, written as fast as they are taken.

`GET /seen` tells how many bytes of each stream it could write so far.
"""

import asyncio
import sys

import orjson

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_WORDS = "word " * 3_000
_written: list[int] = []


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "finish_reason": finish_reason, "delta": delta}
    value = {"id": "bench", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]}
    return _chunk(b"data: " + orjson.dumps(value) + b"\n\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = await reader.readexactly(
                int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            )
            if head.startswith(b"GET /seen"):
                told = orjson.dumps(_written)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(told) + told)
            else:
                await _flood(int(body.partition(b"flood:")[2].split(b" ")[0] or 0) * 2**20, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _flood(size: int, writer: asyncio.StreamWriter) -> None:
    number = len(_written)
    _written.append(0)
    writer.write(_HEAD)
    event = _event({"content": _WORDS})
    while _written[number] < size:
        writer.write(event)
        await writer.drain()
        _written[number] += len(event)
    usage = {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70}
    last = {"id": "bench", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": []}
    writer.write(_event({}, "stop") + _chunk(b"data: " + orjson.dumps(last | {"usage": usage}) + b"\n\n"))
    writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()


async def main() -> None:
    """Serve on the port given."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
