"""Commits requests together that arrive together, so that throughput follows the batch and not the disk.

A request is answered when its transaction is committed, never before. While one batch commits the next one gathers;
an idle writer waits only for a moment, so a lone vote is not slower than alone.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncEngine

from .ballots import Raced, Standing, Write, write_all
from .patience import Unavailable, patiently

_log = structlog.get_logger("votes.writer")
_SIZES = Histogram("votes_batch_size", "Votes committed together.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500))
_REFUSED = Counter("votes_refused_total", "Votes not taken, by why.", ("why",))

_RACES = 20


class Overloaded(Exception):
    """Too many votes wait already. Ask again in :attr:`retry_after` seconds."""

    retry_after = 1


@dataclass(eq=False, slots=True)
class _Waiting:
    write: Write
    answer: asyncio.Future[Standing]
    races: int = field(default=0)


class Writer:
    """Takes votes from concurrent requests and commits them in batches.

    ``patience`` is how long (seconds) a batch is tried again while the database is away; then its requests are told
    so. What was asked again after a lost commit is found done already, since a repeated vote changes nothing.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        largest: int = 500,
        most_waiting: int = 5000,
        linger: float = 0.002,
        patience: float = 3.0,
    ) -> None:
        self._engine = engine
        self._largest = largest
        self._most_waiting = most_waiting
        self._linger = linger
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    async def submit(self, write: Write) -> Standing:
        """The standing after the write, committed.

        Raises what :func:`write_all` answers, :class:`Overloaded`, :class:`Unavailable`. A request that is cancelled
        while it waits is not written; the others of its batch are.
        """
        if self._closed:
            raise Unavailable("the service is stopping")
        if len(self._waiting) >= self._most_waiting:
            _REFUSED.labels("overloaded").inc()
            raise Overloaded(f"{len(self._waiting)} votes wait already")
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.answer

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Writer"]:
        """Write until the block ends; what waits then is still written."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            self._closed = True
            self._arrived.set()
            await task

    async def _run(self) -> None:
        while not self._closed or self._waiting:
            await self._arrived.wait()
            if not self._closed and len(self._waiting) < self._largest:
                await asyncio.sleep(self._linger)
            batch = self._take()
            if batch:
                await self._write(batch)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._largest:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        if not self._waiting and not self._closed:
            self._arrived.clear()
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """Commit a batch and answer it; on an error that is one request's own, each alone."""
        _SIZES.observe(len(batch))
        try:
            answers = await self._patiently([waiting.write for waiting in batch])
        except Unavailable as error:
            for waiting in batch:
                _answer(waiting, error)
        except Exception as error:  # noqa: BLE001 - each request of the batch gets its own answer
            if len(batch) > 1:
                _log.warning("a batch failed, trying each vote alone", error=type(error).__name__, votes=len(batch))
                for waiting in batch:
                    await self._write([waiting])
            else:
                _log.exception("a vote could not be written")
                _answer(batch[0], error)
        else:
            self._settle(batch, answers)

    def _settle(self, batch: Sequence[_Waiting], answers: Sequence[Standing | Exception]) -> None:
        """Answer a batch; those that raced with somebody come first in the next one, in their order."""
        again: list[_Waiting] = []
        for waiting, answer in zip(batch, answers, strict=True):
            if not isinstance(answer, Raced):
                _answer(waiting, answer)
            elif waiting.races < _RACES:
                waiting.races += 1
                again.append(waiting)
            else:
                _answer(waiting, Overloaded("the vote is contended"))
        if again:
            self._waiting.extendleft(reversed(again))
            self._arrived.set()

    async def _patiently(self, writes: Sequence[Write]) -> list[Standing | Exception]:
        """Commit, again where the database was away for a moment. Raises :class:`Unavailable` when it stays away."""
        try:
            return await patiently(self._engine, lambda connection: write_all(connection, writes), self._patience)
        except Unavailable:
            _REFUSED.labels("unavailable").inc(len(writes))
            raise


def _answer(waiting: _Waiting, answer: Standing | Exception) -> None:
    """Answer a request that still waits; one that was cancelled hears nothing and breaks nothing."""
    if waiting.answer.done():
        return
    if isinstance(answer, Exception):
        waiting.answer.set_exception(answer)
    else:
        waiting.answer.set_result(answer)
