"""An upstream that does what goes wrong, as the text of a request asks for, and remembers what became of each.

`fault:cut` ends the connection after ten events, `fault:slow` goes on, both with an event every tenth of a second;
`fault:429` refuses with Retry-After; `fault:silence` says nothing for 30 seconds in mid-stream. `GET /seen` tells.
"""

import asyncio
import sys
import time

import orjson

SILENCE_S = 30.0
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_REFUSAL = orjson.dumps({"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}})
_seen: list[dict[str, object]] = []


def _event(number: int, *, last: bool = False) -> bytes:
    choice = {
        "index": 0,
        "finish_reason": "stop" if last else None,
        "delta": {} if last else {"content": f"w{number} "},
    }
    value = {"id": "bench", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]}
    return _chunk(b"data: " + orjson.dumps(value) + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _end() -> bytes:
    usage = {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70}
    told = {"id": "bench", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": []}
    return _event(50, last=True) + _chunk(b"data: " + orjson.dumps(told | {"usage": usage}) + b"\n\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
            if head.startswith(b"GET /seen"):
                told = orjson.dumps(_seen)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(told) + told)
            elif not await _answer(body, reader, writer):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _answer(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    fault = body.partition(b"fault:")[2][:7].partition(b" ")[0].decode()
    note: dict[str, object] = {"fault": fault, "events": 0, "ended": "was cut off"}
    _seen.append(note)
    if fault == "429":
        head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 7\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(_REFUSAL) + _REFUSAL)
        return True
    writer.write(_HEAD)
    gone = asyncio.ensure_future(reader.read(1))
    began = time.monotonic()
    for number in range(50):
        if fault == "cut" and number == 10:
            return False
        if fault == "silence" and number == 10:
            await asyncio.wait({gone}, timeout=SILENCE_S)
        if fault in ("slow", "cut"):
            await asyncio.wait({gone}, timeout=0.1)
        if gone.done():
            note["after_s"] = round(time.monotonic() - began, 1)
            return False
        writer.write(_event(number))
        note["events"] = number + 1
        await writer.drain()
    writer.write(_end() + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    note["ended"] = "ran to its end"
    return False


async def main() -> None:
    """Serve on the port given."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
