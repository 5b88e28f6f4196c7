"""An engine's HTTP API: whole answers, streams, errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from .wire import Exchange, WireError, exchange


class EngineStopped(ConnectionError):
    """The engine went away before its answer was whole."""


class EngineRefused(Exception):
    """The engine answered with an error. ``status`` is its HTTP status, ``error`` what it said."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(error.get("message") or str(error))
        self.status = status
        self.error = error


class EngineClient:
    """Calls one engine. Cancelling a call closes its connection, and so frees the engine's slot."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key

    async def close(self) -> None:
        """There is nothing to close: no connection outlives its request."""

    async def healthy(self, timeout: float = 2.0) -> bool:
        """Whether the port answers."""
        try:
            async with asyncio.timeout(timeout), exchange(self._port, "GET", "/health", self._key) as answer:
                return await answer.status() == 200
        except (WireError, TimeoutError):
            return False

    async def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """The whole answer. Raises :class:`EngineStopped`, :class:`EngineRefused`."""
        try:
            async with exchange(self._port, "POST", path, self._key, orjson.dumps(body)) as answer:
                await _check(answer)
                return orjson.loads(await answer.body())
        except (WireError, orjson.JSONDecodeError) as error:
            raise EngineStopped(str(error)) from error

    async def text(self, path: str) -> str:
        """A page as text, such as ``/metrics``. Raises :class:`EngineStopped`."""
        try:
            async with asyncio.timeout(2), exchange(self._port, "GET", path, self._key) as answer:
                return (await answer.body()).decode()
        except (WireError, TimeoutError) as error:
            raise EngineStopped(f"the engine stopped answering: {error!r}") from error

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The answer's chunks as they come. Raises as :meth:`ask` does, at the start or between chunks."""
        try:
            async with exchange(self._port, "POST", path, self._key, orjson.dumps(body)) as answer:
                await _check(answer)
                yield _chunks(answer)
        except WireError as error:
            raise EngineStopped(str(error)) from error


async def _check(answer: Exchange) -> None:
    status = await answer.status()
    if status < 400:
        return
    try:
        error = orjson.loads(await answer.body()).get("error", {})
    except (orjson.JSONDecodeError, AttributeError):
        error = {}
    raise EngineRefused(status, error if isinstance(error, dict) else {"message": str(error)})


async def _chunks(answer: Exchange) -> AsyncIterator[dict[str, Any]]:
    """Server-sent events until ``[DONE]`` or the end. With 1,000 log-probabilities one is longer than a line buffer."""
    rest = b""
    async for block in answer.blocks():
        rest += block
        *events, rest = rest.split(b"\n\n")
        for event in events:
            if not event.startswith(b"data: "):  # a comment that keeps the connection alive, or an error event
                if event.startswith(b"error: "):
                    raise EngineRefused(500, orjson.loads(event[7:]))
                continue
            data = event[6:]
            if data == b"[DONE]":
                return
            chunk = orjson.loads(data)
            if "error" in chunk:
                raise EngineRefused(500, chunk["error"])
            yield chunk
