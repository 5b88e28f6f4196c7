"""An upstream that answers at once: an asyncio protocol that knows two answers, one whole and one of 50 events."""

import asyncio
import sys

import orjson
import uvloop

_USAGE = {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70}
_ANSWER = orjson.dumps(
    {
        "id": "bench",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 50}},
        ],
        "usage": _USAGE,
    }
)
_WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + str(len(_ANSWER)).encode() + b"\r\n\r\n"
) + _ANSWER


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _event(choices: list[dict[str, object]], usage: dict[str, int] | None = None) -> bytes:
    value = {"id": "bench", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": choices}
    return _chunk(b"data: " + orjson.dumps(value | ({"usage": usage} if usage else {})) + b"\n\n")


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENTS = [
    *[_event([{"index": 0, "finish_reason": None, "delta": {"content": "word "}}]) for _ in range(50)],
    _event([{"index": 0, "finish_reason": "stop", "delta": {}}]),
    _event([], _USAGE),
    _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
]


class Upstream(asyncio.Protocol):
    """Answers each request as soon as its body is there."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer whole requests."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            if b'"stream":true' in body.replace(b" ", b""):
                asyncio.get_running_loop().create_task(self._stream())
            else:
                self._transport.write(_WHOLE)

    async def _stream(self) -> None:
        self._transport.write(_HEAD)
        for event in _EVENTS:
            self._transport.write(event)
            await asyncio.sleep(0)


async def main() -> None:
    """Serve on the port given."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


uvloop.run(main())
