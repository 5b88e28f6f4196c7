"""Settling that survives a Redis that is away: what can't be settled now waits here, in bounds, and is tried again.

What is lost with this process is not lost: its journal has it, and without one its open attempts stay in Redis and
become *uncertain* at their bound.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import structlog

from ..domain.usage import Bill
from ..store.admission import Admission, RedisAway, Reservation
from ..store.journal import Journal
from ..store.remembering import Remembering, Settled

_log = structlog.get_logger("inference_gateway.settling")
_MAX_WAITING = 50_000
_RETRY_S = 0.5


class Settling:
    """Settles at once where Redis answers, later where it does not."""

    def __init__(self, admission: Admission, remembering: Remembering, journal: Journal) -> None:
        self.journal = journal
        self._admission = admission
        self._remembering = remembering
        self._waiting: deque[Settled] = deque(maxlen=_MAX_WAITING)

    def settle(self, reservation: Reservation, outcome: bytes, bill: Bill) -> Coroutine[Any, Any, None]:
        """Settle an attempt. Redis is told before this returns, where it is there; what is returned waits until it is
        done or put off, and never raises."""
        tokens = None if bill.tokens is None else bill.tokens.total
        if bill.outcome == "error":
            tokens = 0
        self.journal.result(reservation.attempt_id, outcome)
        one = Settled(reservation, outcome, bill.nano_usd, tokens)
        return self._now_or_later(one, self._begin(one))

    async def release(self, reservation: Reservation) -> None:
        """Undo the reservation of an attempt that never began; never raises."""
        self.journal.result(reservation.attempt_id, b"")
        one = Settled(reservation, b"", None, None)
        await self._now_or_later(one, self._begin(one))

    def release_later(self, reservation: Reservation) -> None:
        """As :meth:`release`, when Redis is back."""
        self._waiting.append(Settled(reservation, b"", None, None))

    @property
    def waiting(self) -> int:
        """How many wait for Redis."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no more may begin that will have to wait."""
        return len(self._waiting) >= _MAX_WAITING // 2

    async def keep_trying(self, stop: asyncio.Event) -> None:
        """Try what waits again, until ``stop``; then once more."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(_RETRY_S):
                    await stop.wait()
            except TimeoutError:
                pass
            await self.flush()

    async def flush(self) -> None:
        """Settle what waits, in order, as far as Redis answers."""
        while self._waiting:
            one = self._waiting[0]
            try:
                await self._end(one, self._begin(one))
            except RedisAway:
                return
            self._waiting.popleft()

    async def _now_or_later(self, one: Settled, begun: Coroutine[Any, Any, None]) -> None:
        try:
            await self._end(one, begun)
        except RedisAway as error:
            self._waiting.append(one)
            _log.warning("settled later", attempt_id=one.reservation.attempt_id, error=str(error))

    def _begin(self, one: Settled) -> Coroutine[Any, Any, None]:
        if not one.outcome:
            return self._admission.release(one.reservation)
        return self._admission.settle(one.reservation, one.outcome, nano_usd=one.nano_usd, tokens=one.tokens)

    async def _end(self, one: Settled, begun: Coroutine[Any, Any, None]) -> None:
        await begun
        if one.outcome:
            self._remembering.note(one)
