"""What an instance still knows when Redis has forgotten: its open attempts, and what it settled lately.

The rebuild leaves a shard `restoring:ID` for a few heartbeats before it opens. In that time every living instance
puts its open attempts back, and hands in again what it settled and the ledger does not have. What a dead instance
knew is lost with Redis; an append-only file keeps even that.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from .admission import Admission, Reservation
from .tables import ledger

REMEMBERED = 5_000
"""Seconds of what one process can settle; the ledger is a tenth of a second behind."""
_log = structlog.get_logger("inference_gateway.remembering")


@dataclass(slots=True)
class Settled:
    """A settled attempt, as it can be handed in again; an empty ``outcome`` says that it never began."""

    reservation: Reservation
    outcome: bytes
    nano_usd: int | None
    tokens: int | None


class Remembering:
    """The last settled attempts of this instance, and the epochs that it has seen."""

    def __init__(self, admission: Admission, engine: AsyncEngine) -> None:
        self._admission = admission
        self._engine = engine
        self._settled: deque[Settled] = deque(maxlen=REMEMBERED)
        self._ids: dict[int, str] = {}

    def note(self, settled: Settled) -> None:
        """Remember a settled attempt."""
        self._settled.append(settled)

    async def look(self) -> int:
        """Compare epochs with those seen before, and restore shards whose epoch is new. Returns what was restored.

        Raises ``RedisAway`` and the database's errors; the next look tries again.
        """
        count = 0
        for shard, value in enumerate(await self._admission.epochs()):
            state, _, number = value.partition(":")
            if state not in ("restoring", "open"):
                continue
            if shard in self._ids and self._ids[shard] != number:
                count += await self._restore(shard)
            self._ids[shard] = number
        return count

    async def _restore(self, shard: int) -> int:
        count = await self._admission.restore(shard)
        mine = [one for one in self._settled if one.reservation.shard == shard]
        known = await self._in_ledger([one.reservation.attempt_id for one in mine])
        missing = [one for one in mine if one.reservation.attempt_id not in known]
        await asyncio.gather(
            *(
                self._admission.settle(one.reservation, one.outcome, nano_usd=one.nano_usd, tokens=one.tokens)
                for one in missing
            )
        )
        if count or missing:
            _log.warning("Redis had forgotten attempts", shard=shard, open=count, settled=len(missing))
        return count + len(missing)

    async def _in_ledger(self, attempts: list[str]) -> set[str]:
        if not attempts:
            return set()
        async with self._engine.connect() as connection:
            found = await connection.scalars(
                sa.select(ledger.c.attempt_id).where(
                    ledger.c.attempt_id == sa.any_(sa.literal(attempts, sa.ARRAY(sa.Text)))
                )
            )
            return set(found)
