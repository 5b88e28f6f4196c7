"""Admission: as many requests as the engine has slots, a bounded queue behind them, and a clear no beyond it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class Busy(Exception):
    """The queue is full, or a request has waited too long. ``retry_after`` in whole seconds; how HTTP says it."""

    status, code = 429, "queue_full"

    def __init__(self, text: str, retry_after: int) -> None:
        super().__init__(text)
        self.retry_after = retry_after


async def _at_once() -> None:
    """Nothing has to be made ready."""


class Gate:
    """First come, first served, over ``slots`` slots and at most ``queue`` waiting requests.

    ``prepare`` is awaited with the slot in hand, before the request goes on: it loads a model that is not in memory.
    """

    prepare: Callable[[], Awaitable[None]] = staticmethod(_at_once)

    def __init__(
        self, slots: int, queue: int, queue_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots, self.queue, self.queue_seconds = slots, queue, queue_seconds
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._clock = clock
        self._usual_seconds = 1.0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether anybody has a slot or waits for one."""
        return bool(self.running or self._waiting)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Hold a slot. Raises :class:`Busy`."""
        await self._enter()
        try:
            await self.prepare()
            started = self._clock()
            try:
                yield
            finally:
                self._usual_seconds += 0.2 * (self._clock() - started - self._usual_seconds)
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self.running < self.slots and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= self.queue:
            raise Busy(f"all {self.slots} slots and {self.queue} places in the queue are taken", self._retry_after())
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self.queue_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # our turn came in the very moment in which we gave up
                self._leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise Busy(f"waited {self.queue_seconds:.0f} s for a slot", self._retry_after()) from None
            raise

    def _leave(self) -> None:
        self.running -= 1
        while self._waiting and self.running < self.slots:
            turn = self._waiting.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    def _retry_after(self) -> int:
        rounds = (len(self._waiting) + 1) / self.slots
        return min(60, max(1, round(rounds * self._usual_seconds)))
