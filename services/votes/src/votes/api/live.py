"""Live tallies: each page gets the present state first, then changes, at most one a second and tool.

A worker notifies the database when it changes tallies; every replica listens, reads what its pages follow, and passes
on what is newer. A page holds at most one pending tally a tool, so a slow one costs nothing and gets the newest.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import structlog
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.back_off import pause
from shipjury_delivery.database import Wakeups

from ..domain import Head
from ..store.log import CHANNEL, heads
from ..store.patience import Unavailable, patiently

_log = structlog.get_logger("votes.live")
_STREAMS = Gauge("votes_streams", "Live streams that are open.")

POLL = 10.0
"""Seconds after which the tallies are read without a notification: one may be lost with its connection."""


class TooManyStreams(Exception):
    """This replica serves as many streams as it may."""


class Stream:
    """One page's stream: what it follows, what it has seen and what it is to get next."""

    def __init__(self, tools: Sequence[str]) -> None:
        self.tools = tuple(dict.fromkeys(tools))
        self.closed = False
        self.changed = asyncio.Event()
        self._seen: dict[str, int] = {}
        self._pending: dict[str, Head] = {}

    def offer(self, found: dict[str, Head]) -> None:
        """Take what is newer than what the page has."""
        for tool_id in self.tools:
            head = found.get(tool_id)
            if head is not None and head.length > self._seen.get(tool_id, -1):
                self._pending[tool_id] = head
                self._seen[tool_id] = head.length
                self.changed.set()

    def take(self) -> list[tuple[str, Head]]:
        """What is pending, which the page then has."""
        taken = list(self._pending.items())
        self._pending.clear()
        self.changed.clear()
        return taken


class Live:
    """The live streams of one replica."""

    def __init__(
        self, engine: AsyncEngine, *, interval: float = 1.0, heartbeat: float = 15.0, most: int = 2000
    ) -> None:
        self._engine = engine
        self._interval = interval
        self._heartbeat = heartbeat
        self._most = most
        self._streams: set[Stream] = set()
        self._closed = False

    async def run(self, stop: asyncio.Event) -> None:
        """Listen and pass on until ``stop``; then end all streams."""
        wakeups = Wakeups(self._engine)
        woken = wakeups.event(CHANNEL)
        listening = asyncio.create_task(wakeups.run(stop))
        try:
            while not stop.is_set():
                woken.clear()
                await self._pass_on()
                await pause(stop, self._interval)
                await pause(stop, POLL, woken)
        finally:
            listening.cancel()
            self.close()
            await asyncio.gather(listening, return_exceptions=True)

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self._closed = True
        for stream in self._streams:
            stream.closed = True
            stream.changed.set()

    async def _pass_on(self) -> None:
        followed = sorted({tool_id for stream in self._streams for tool_id in stream.tools})
        if not followed:
            return
        try:
            found = await self._heads(followed)
        except (Unavailable, SQLAlchemyError, OSError) as error:
            _log.warning("tallies can't be read, streams wait", error=type(error).__name__)
            return
        for stream in self._streams:
            stream.offer(found)

    async def _heads(self, tool_ids: Sequence[str]) -> dict[str, Head]:
        return await patiently(self._engine, lambda connection: heads(connection, tool_ids))

    async def events(self, tools: Sequence[str], render: Callable[[str, Head], str]) -> AsyncIterator[str]:
        """The frames of one page's stream (Server-Sent Events), until it leaves or the server stops."""
        with self._joined(tools) as stream:
            try:
                found = await self._heads(stream.tools)
            except Unavailable:
                return  # the browser comes back by itself
            stream.offer({tool_id: found.get(tool_id, Head()) for tool_id in stream.tools})
            yield "retry: 2000\n\n"
            while not stream.closed:
                for tool_id, head in stream.take():
                    yield f"event: tally\nid: {tool_id}:{head.length}\ndata: {render(tool_id, head)}\n\n"
                try:
                    await asyncio.wait_for(stream.changed.wait(), self._heartbeat)
                except TimeoutError:
                    yield ": heartbeat\n\n"

    def check_room(self) -> None:
        """Raise :class:`TooManyStreams` where no further stream is served."""
        if self._closed or len(self._streams) >= self._most:
            raise TooManyStreams

    @contextlib.contextmanager
    def _joined(self, tools: Sequence[str]) -> Iterator[Stream]:
        stream = Stream(tools)
        stream.closed = self._closed
        self._streams.add(stream)
        _STREAMS.set(len(self._streams))
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            _STREAMS.set(len(self._streams))
