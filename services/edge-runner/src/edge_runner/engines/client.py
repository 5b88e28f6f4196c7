"""HTTP to an engine on loopback. Each request has a connection of its own: reused ones were seen to lose requests."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson


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
        self._base = f"http://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            headers={"Authorization": f"Bearer {key}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            json_serialize=lambda body: orjson.dumps(body).decode(),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def healthy(self, timeout: float = 2.0) -> bool:
        """Whether the port answers."""
        try:
            async with self._session.get(
                f"{self._base}/health", timeout=aiohttp.ClientTimeout(total=timeout)
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """The whole answer. Raises :class:`EngineStopped`, :class:`EngineRefused`."""
        try:
            async with self._session.post(self._base + path, json=body) as response:
                await _check(response)
                return orjson.loads(await response.read())
        except (aiohttp.ClientError, ConnectionError, orjson.JSONDecodeError) as error:
            raise EngineStopped(f"the engine stopped answering: {error!r}") from error

    async def text(self, path: str) -> str:
        """A page as text, such as ``/metrics``."""
        try:
            async with self._session.get(self._base + path, timeout=aiohttp.ClientTimeout(total=2)) as response:
                return await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineStopped(f"the engine stopped answering: {error!r}") from error

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The answer's chunks as they come. Raises as :meth:`ask` does, at the start or between chunks."""
        try:
            async with self._session.post(self._base + path, json=body) as response:
                await _check(response)
                yield _chunks(response)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise EngineStopped(f"the engine stopped answering: {error!r}") from error


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    try:
        error = orjson.loads(await response.read()).get("error", {})
    except (orjson.JSONDecodeError, AttributeError):
        error = {}
    raise EngineRefused(response.status, error if isinstance(error, dict) else {"message": str(error)})


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Server-sent events until ``[DONE]`` or the end. With 1,000 log-probabilities one is longer than a line buffer."""
    rest = b""
    async for block in response.content.iter_any():
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
