"""The watch: every few seconds new ledger rows go into the series, and what departs from its rhythm becomes an anomaly.

An attempt counts when it has ended. A slot is judged a moment after it is over, so that what is still on its way to the
ledger is in it. History that the watch has not seen (its first start, an outage) is learned from and raises nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils import uuid7

from . import metrics
from .domain.anomalies import SLOT_S, Change, Series, worst
from .domain.repeats import Repeats
from .ledger_worker import repeat
from .store import watching as store
from .store.watching import EVERYTHING, Key, Rates, Used

GRACE_S = 2.0
STALE_S = 300.0
BATCH = 20_000
_SAVE_S = 30.0
_IDLE_SLOTS = 3600 // SLOT_S
_HISTORY = timedelta(days=28)
_LEASE = timedelta(seconds=20)
_log = structlog.get_logger("inference_gateway.watching")


def utc_now() -> datetime:
    """The clock of the running service."""
    return datetime.now(UTC)


class Watch:
    """One worker's view of all series. ``floors`` are the smallest amounts a minute that matter, by measure."""

    def __init__(self, engine: AsyncEngine, floors: dict[str, float], clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._floors = {measure: floor * SLOT_S / 60 for measure, floor in floors.items()}
        self._floors["repeats"] = self._floors["requests"]
        self._repeats = Repeats()
        self._clock = clock
        self._holder = str(uuid7())
        self._series: dict[Key, Series] = {}
        self._slots: defaultdict[int, defaultdict[Key, float]] = defaultdict(lambda: defaultdict(float))
        self._judged: int | None = None
        self._ledger_id = 0
        self._unsaved: set[Key] = set()
        self._saved_at = 0.0
        self._known = False
        self._untold: set[Key] = set()

    async def keep_watching(self, every_s: float, stop: asyncio.Event) -> None:
        """Watch until ``stop``."""

        async def once() -> float:
            return 0.0 if await self.look() else every_s

        await repeat(once, stop)

    async def look(self) -> bool:
        """One round. Returns whether there is more history to read at once."""
        now = self._clock()
        try:
            async with self._engine.begin() as connection:
                return await self._look(connection, now)
        except BaseException:
            self._known = False  # What is in memory may not be what is stored: read it again.
            raise

    async def _look(self, connection: AsyncConnection, now: datetime) -> bool:
        stored = await store.hold(connection, self._holder, now=now, lease=_LEASE)
        if stored is None:
            self._known = False
            return False
        if not stored.mine or not self._known:
            await self._recall(connection, stored)
        used = await store.newer(connection, self._ledger_id, now - _HISTORY, BATCH)
        more = len(used) == BATCH
        until = int(((used[-1].ended - STALE_S) if more else (now.timestamp() - GRACE_S)) // SLOT_S)
        self._take(used)
        await self._judge(connection, until, now)
        for project in await store.end_throttles(connection, now=now):
            for key in (key for key in self._series if key[0] == project):
                self._series[key].forgive()
                self._unsaved.add(key)
        if now.timestamp() - self._saved_at >= _SAVE_S:
            await self._save(connection, now)
        return more

    async def _recall(self, connection: AsyncConnection, stored: store.Stored) -> None:
        states = await store.load(connection)
        self._series = {key: Series.decode({"measure": key[2]} | state) for key, state in states.items()}
        self._slots.clear()
        for slot, key, amount in stored.pending:
            self._slots[slot][key] += amount
        self._unsaved.clear()
        self._untold.clear()
        self._judged = max((series.last or 0 for series in self._series.values()), default=None)
        self._ledger_id = stored.ledger_id
        self._known = True

    def _take(self, used: list[Used]) -> None:
        """Put attempts into the slots that they ended in; those of a slot that is judged already, into the next."""
        for one in used:
            slot = int(one.ended // SLOT_S)
            if self._judged is not None and slot <= self._judged:
                if one.ended < (self._judged * SLOT_S) - STALE_S:
                    continue
                slot = self._judged + 1
            again = one.alike is not None and self._repeats.again(one.alike, one.ended)
            for model in (one.model, EVERYTHING):
                self._slots[slot][one.project_id, model, "cost"] += one.nano_usd
                self._slots[slot][one.project_id, model, "requests"] += 1
                self._slots[slot][one.project_id, model, "repeats"] += again
            self._ledger_id = one.id

    async def _judge(self, connection: AsyncConnection, until: int, now: datetime) -> None:
        """Judge every slot before ``until``."""
        changes: dict[Key, Change] = {}
        for number, slot in enumerate(sorted(slot for slot in self._slots if slot < until)):
            for key, amount in self._slots.pop(slot).items():
                self._observe(key, slot, amount, changes)
            if number % 50 == 0:
                await asyncio.sleep(0)  # history is long, and the ledger is written by the same loop
        for key, series in self._series.items():
            behind = until - 1 - (series.last if series.last is not None else until)
            if behind > (_IDLE_SLOTS if series.idle else 0):
                self._observe(key, until - 1, 0.0, changes)
        self._judged = max(until - 1, self._judged or 0)
        closed = {key for key, change in changes.items() if change == "closed"}
        self._untold = (self._untold | {key for key, change in changes.items() if change == "opened"}) - closed
        fresh = now.timestamp() - until * SLOT_S < STALE_S
        if closed or (self._untold and fresh):
            opened = self._untold if fresh else set()
            await self._tell(connection, {key: self._series[key] for key in opened}, closed, now)
            self._untold -= opened
            await self._save(connection, now)

    def _observe(self, key: Key, slot: int, amount: float, changes: dict[Key, Change]) -> None:
        change = self._of(key).observe(slot, amount)
        if change is not None:
            changes[key] = change
        self._unsaved.add(key)

    async def _tell(
        self, connection: AsyncConnection, opened: dict[Key, Series], closed: set[Key], now: datetime
    ) -> None:
        open_now = await store.open_projects(connection)
        for project, (anomaly, model, measure) in open_now.items():
            if (project, model, measure) in closed and await store.close_anomaly(connection, anomaly, now=now):
                _log.warning("spend is ordinary again", project_id=project, model=model, anomaly_id=anomaly)
        for project in {key[0] for key in opened}:
            found = {key: series for key, series in opened.items() if key[0] == project and series.opened is not None}
            models = {key: series for key, series in found.items() if key[1] != EVERYTHING} or found
            name = worst(("\0".join(key), series) for key, series in models.items())
            if name is None:
                continue
            project_id, model, measure = name.split("\0")
            key = (project_id, model, measure)
            since = datetime.fromtimestamp((self._series[key].since or 0) * SLOT_S, UTC)
            cost, requests = await store.observed(connection, project_id, model, since=since, now=now)
            rates = Rates(
                cost, self._due(project_id, model, "cost"), requests, self._due(project_id, model, "requests")
            )
            made = await store.open_anomaly(connection, key, rates, since=since, now=now)
            if made is not None:
                metrics.ANOMALIES.inc()
                _log.warning("a project spends out of its pattern", project_id=project_id, model=model, measure=measure)

    def _due(self, project: str, model: str, measure: str) -> int:
        return round(self._of((project, model, measure)).expected_per_minute)

    async def _save(self, connection: AsyncConnection, now: datetime) -> None:
        """Store where the watch stands, in the transaction of what it did."""
        pending = [(slot, key, amount) for slot, held in self._slots.items() for key, amount in held.items()]
        series = {key: self._series[key].encode() for key in self._unsaved}
        await store.save(connection, self._ledger_id, pending, series)
        self._unsaved.clear()
        self._saved_at = now.timestamp()

    def _of(self, key: Key) -> Series:
        if key not in self._series:
            self._series[key] = Series(self._floors[key[2]], key[2])
        return self._series[key]
