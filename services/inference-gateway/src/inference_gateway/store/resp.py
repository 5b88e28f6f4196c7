"""One pipelined connection to Redis for the request path.

Calls are handed to the connection when they are made (uvloop sends those of one turn in one write); answers come back
in order, so that one timer watches the deadline of them all. No pool, no lock, no connection a request: measured
against a pooled client this is most of the cost of a reservation. Lost connections are made again; a call never waits
longer than its deadline.
"""

import asyncio
import hashlib
import ssl
from collections import deque
from collections.abc import Coroutine
from typing import Any
from urllib.parse import unquote, urlsplit

import hiredis

_BACK_OFF_S = 0.2
_MAX_WAITING = 20_000
_AWAY_CODES = frozenset({"LOADING", "MASTERDOWN", "READONLY", "BUSY", "OOM", "MISCONF", "TRYAGAIN", "CLUSTERDOWN"})
"""Errors that speak of Redis's own state: it took nothing, and may take it later."""


class RedisAway(ConnectionError):
    """Redis did not answer in time, or can't be reached."""


class Script:
    """A Lua script, called by its hash."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisPipe(asyncio.Protocol):
    """See the module. Use :meth:`run` for scripts and :meth:`call` for commands, both within one event loop."""

    def __init__(self, url: str, *, deadline_s: float = 2.0) -> None:
        self._url = urlsplit(url)
        self._deadline_s = deadline_s
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[object], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._tried_at = 0.0
        self._closed = False

    def run(self, script: Script, keys: list[str], arguments: list[str | bytes | int]) -> Coroutine[Any, Any, object]:
        """Run a script; it is loaded where Redis does not know it yet. Where there is a connection, it is sent before
        this returns, and what is returned waits for the answer. That raises :class:`RedisAway`."""
        command = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        return self._ran(script, command, None if self._transport is None else self._send(command))

    async def call(self, *command: str | bytes | int) -> object:
        """Send one command and return its answer. Raises :class:`RedisAway` or the error that Redis gave."""
        if self._transport is None:
            await self._connect_within(self._deadline_s)
        if self._transport is None:
            raise RedisAway("Redis went away again")
        return _said(await self._send(command))

    async def _ran(
        self, script: Script, command: tuple[str | bytes | int, ...], sent: asyncio.Future[object] | None
    ) -> object:
        try:
            return await self.call(*command) if sent is None else _said(await sent)
        except hiredis.ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return await self.call("EVAL", script.text, *command[2:])

    def _send(self, command: tuple[str | bytes | int, ...]) -> asyncio.Future[object]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        if len(self._waiting) >= _MAX_WAITING:
            future.set_exception(RedisAway("too many calls wait for Redis"))
            return future
        assert self._transport is not None  # noqa: S101 - both callers have looked
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]
        self._waiting.append((future, loop.time() + self._deadline_s))
        if self._timer is None:
            self._timer = loop.call_later(self._deadline_s, self._look_at_the_oldest)
        return future

    async def close(self) -> None:
        """Close the connection; calls that wait fail."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()
            self._lost("closed")

    def data_received(self, data: bytes) -> None:
        """Give each answer to the call that waits for it."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the calls that wait: whether they took effect is not known."""
        self._lost(str(exc or "connection closed"))

    def _look_at_the_oldest(self) -> None:
        """Answers come in order: one that is overdue makes all that follow it overdue. Then start afresh."""
        self._timer = None
        if not self._waiting:
            return
        future, due = self._waiting[0]
        loop = asyncio.get_running_loop()
        if loop.time() < due:
            self._timer = loop.call_at(due, self._look_at_the_oldest)
            return
        if not future.done():
            future.set_exception(RedisAway(f"Redis did not answer within {self._deadline_s} s"))
        if self._transport is not None:
            self._transport.abort()

    def _lost(self, why: str) -> None:
        self._transport = None
        self._reader = hiredis.Reader()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(RedisAway(f"Redis is away: {why}"))

    async def _connect_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise RedisAway("closed")
        if self._connecting is None or self._connecting.done():
            if loop.time() - self._tried_at < _BACK_OFF_S:
                raise RedisAway("Redis was away a moment ago")
            self._connecting = loop.create_task(self._connect())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._connecting)
        except (OSError, TimeoutError, hiredis.ReplyError) as error:
            self._tried_at = loop.time()
            raise RedisAway(f"Redis can't be reached: {error!r}") from error

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        url = self._url
        if url.scheme == "unix":
            transport, _ = await loop.create_unix_connection(lambda: self, unquote(url.path))
            database = dict(part.partition("=")[::2] for part in url.query.split("&")).get("db", "0")
        else:
            context = ssl.create_default_context() if url.scheme == "rediss" else None
            transport, _ = await loop.create_connection(
                lambda: self, url.hostname or "127.0.0.1", url.port or 6379, ssl=context
            )
            database = url.path.strip("/") or "0"
        hello: list[tuple[str, ...]] = []
        if url.password:
            hello.append(
                ("AUTH", unquote(url.username), unquote(url.password))
                if url.username
                else ("AUTH", unquote(url.password))
            )
        if database != "0":
            hello.append(("SELECT", database))
        answers = [loop.create_future() for _ in hello]
        self._waiting.extend((answer, loop.time() + self._deadline_s) for answer in answers)
        transport.write(b"".join(hiredis.pack_command(command) for command in hello))  # type: ignore[arg-type]
        for answer in answers:
            said = await answer
            if isinstance(said, hiredis.ReplyError):
                transport.abort()
                raise said
        self._transport = transport


def _said(answer: object) -> object:
    """An answer; where it is an error, that is raised."""
    if isinstance(answer, hiredis.ReplyError):
        if str(answer).partition(" ")[0] in _AWAY_CODES:
            raise RedisAway(str(answer))
        raise answer
    return answer
