"""Settling that survives a Redis that is away: what can't be settled now waits here, in bounds, and is tried again.

What is lost with this process is not lost: its journal has it, and without one its open attempts stay in Redis and
become *uncertain* at their bound.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

import structlog

from ..domain.usage import Bill
from ..store.admission import Admission, RedisAway, Reservation
from ..store.journal import Journal
from ..store.remembering import Remembering, Settled

_log = structlog.get_logger("inference_gateway.settling")
_MAX_WAITING = 50_000
_RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class _Waiting:
    reservation: Reservation
    outcome: bytes | None
    nano_usd: int | None
    tokens: int | None


class Settling:
    """Settles at once where Redis answers, later where it does not."""

    def __init__(self, admission: Admission, remembering: Remembering, journal: Journal) -> None:
        self.journal = journal
        self._admission = admission
        self._remembering = remembering
        self._waiting: deque[_Waiting] = deque(maxlen=_MAX_WAITING)

    async def settle(self, reservation: Reservation, outcome: bytes, bill: Bill) -> None:
        """Settle an attempt; never raises."""
        tokens = None if bill.tokens is None else bill.tokens.total
        if bill.outcome == "error":
            tokens = 0
        self.journal.result(reservation.attempt_id, outcome)
        await self._now_or_later(_Waiting(reservation, outcome, bill.nano_usd, tokens))

    async def release(self, reservation: Reservation) -> None:
        """Undo the reservation of an attempt that never began; never raises."""
        self.journal.result(reservation.attempt_id, b"")
        await self._now_or_later(_Waiting(reservation, None, None, None))

    def release_later(self, reservation: Reservation) -> None:
        """As :meth:`release`, when Redis is back."""
        self._waiting.append(_Waiting(reservation, None, None, None))

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
            try:
                await self._do(self._waiting[0])
            except RedisAway:
                return
            self._waiting.popleft()

    async def _now_or_later(self, one: _Waiting) -> None:
        try:
            await self._do(one)
        except RedisAway as error:
            self._waiting.append(one)
            _log.warning("settled later", attempt_id=one.reservation.attempt_id, error=str(error))

    async def _do(self, one: _Waiting) -> None:
        if one.outcome is None:
            await self._admission.release(one.reservation)
        else:
            await self._admission.settle(one.reservation, one.outcome, nano_usd=one.nano_usd, tokens=one.tokens)
            self._remembering.note(Settled(one.reservation, one.outcome, one.nano_usd, one.tokens))
