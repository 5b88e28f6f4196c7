"""Carries one request to the engine and its answer to the client, whole or as a stream, and notices who has left.

A client that goes away frees its slot at once: the call to the engine is cancelled. An answer that the engine did not
finish is an error, never a clean end: llama.cpp ends a stream that SIGTERM cut with ``finish_reason`` null.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..engines.client import EngineClient, EngineStopped
from ..node import Holding
from .errors import error_of, response_of

T = TypeVar("T")
Chunks = AsyncIterator[dict[str, Any]]

# llama.cpp says nothing of an answer that it was stopped in; vLLM says so.
_CUT = (None, "abort", "error")


class ClientGone(Exception):
    """The client closed its connection before the answer."""


@contextlib.contextmanager
def in_slot(holding: Holding, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The body with the slot that is best for its prompt; see ``domain/slots.py``."""
    asked = body.get("prompt") or body.get("messages")
    text = asked if isinstance(asked, str) else orjson.dumps(asked).decode()
    with holding.slots.placed(text) as slot:
        yield holding.engine.in_slot(body, slot)


async def unless_gone(receive: Receive, work: Awaitable[T]) -> T:
    """The result of ``work``, which is cancelled when the client goes. Raises :class:`ClientGone`.

    ``work`` runs in the caller's task, so that it begins at once: of requests that come together the first is in the
    engine's hands before the second is read.
    """
    working, gone = asyncio.current_task(), False
    assert working is not None  # noqa: S101  # a coroutine that runs has a task

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if gone and not working.uncancel():
            raise ClientGone from None
        raise
    finally:
        watching.cancel()


async def whole(client: EngineClient, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's whole answer. Raises :class:`EngineStopped` where a choice has no ``finish_reason``."""
    answer: dict[str, Any] = await client.ask(path, body)
    if any(choice.get("finish_reason") in _CUT for choice in answer["choices"]):
        raise EngineStopped("the engine was stopped in the middle of the answer")
    return answer


async def unbroken(chunks: Chunks) -> Chunks:
    """The chunks as they come. Raises :class:`EngineStopped` where they end without a ``finish_reason``."""
    finished = False
    async for chunk in chunks:
        for choice in chunk.get("choices", ()):
            reason = choice.get("finish_reason")
            finished = finished or reason not in _CUT
            if reason is not None and reason in _CUT:
                raise EngineStopped(f"the engine stopped in the middle of the answer: {reason}")
        yield chunk
    if not finished:
        raise EngineStopped("the engine was stopped in the middle of the answer")


class Stream(Response):
    """Server-sent events. ``chunks`` holds the slot: it is closed when the client leaves or the stream is through.

    An error before the first chunk is an ordinary error response; a later one is an event with ``error``, and then
    the end without ``[DONE]``.
    """

    def __init__(self, chunks: Chunks, sent: Callable[[float], None] = lambda _: None) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._chunks, self._sent = chunks, sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client is gone."""
        with contextlib.suppress(ClientGone):
            await unless_gone(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        try:
            async for chunk in self._chunks:
                if not begun:
                    await self._begin(send)
                    begun = True
                self._sent(time.monotonic())
                await _event(send, orjson.dumps(chunk))
            if not begun:
                await self._begin(send)
            await _event(send, b"[DONE]")
        except Exception as error:  # noqa: BLE001  # error_of raises again what it does not know
            known = error_of(error)
            if not begun:
                await response_of(known)(scope, receive, send)
                return
            await _event(send, orjson.dumps(known.body()))
        finally:
            await self._chunks.aclose()  # type: ignore[attr-defined]  # they are generators
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _event(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})
