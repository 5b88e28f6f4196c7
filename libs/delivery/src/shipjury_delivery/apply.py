"""Applying a batch: effects and inbox rows in one transaction; what fails for good goes to the dead letters alone."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

import sqlalchemy as sa
import structlog
from aiokafka.errors import KafkaError
from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_schemas import Event, MalformedEvent, decode

from .back_off import BackOff, pause
from .consume import D, Permanent, Subscription
from .database import is_transient
from .dead_letters import Headers, Why, own_headers, redrive_of
from .metrics import CONSUMED, HANDLED, HELD, RETRIES
from .telemetry import links_to, tracer

_log = structlog.get_logger("shipjury.consume")

_LIMIT_WINDOW_SECONDS = 600.0
_LONGEST_ID = 500  # characters; an index row of Postgres holds 2,700 bytes


class Record(Protocol):
    """What we read of aiokafka's ``ConsumerRecord``."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Abandoned(Exception):
    """The batch is not ours any more, or the process stops: nothing of the rest may be committed to Kafka."""


class HandlerTooSlow(Exception):
    """A handler did not end within its time, though the database answers."""


Bury = Callable[[Record, Why, BaseException, int], Awaitable[None]]
"""Puts a record to the dead letters. Raises ``KafkaError`` where the broker is away."""


@dataclass
class Limit:
    """How many records may die of unexpected errors within ten minutes: past it, the handler is at fault, not they."""

    most: int
    clock: Callable[[], float] = time.monotonic
    _deaths: deque[float] = field(default_factory=deque)

    def spent(self) -> bool:
        """Whether no more may die now."""
        while self._deaths and self._deaths[0] <= self.clock() - _LIMIT_WINDOW_SECONDS:
            self._deaths.popleft()
        return len(self._deaths) >= self.most

    def count(self) -> None:
        """One died."""
        self._deaths.append(self.clock())


@dataclass(frozen=True)
class _Item(Generic[D]):
    record: Record
    event: Event[D]


class Applier(Generic[D]):
    """Applies records for one subscription.

    ``alive`` is asked in every wait whether the batch is still ours; ``database_answers`` tells a handler that is
    too slow from a database that hangs.
    """

    def __init__(
        self,
        subscription: Subscription[D],
        engine: AsyncEngine,
        bury: Bury,
        *,
        limit: Limit,
        database_answers: Callable[[], Awaitable[bool]],
    ) -> None:
        self._subscription = subscription
        self._engine = engine
        self._bury = bury
        self._limit = limit
        self._database_answers = database_answers
        self._handler_seconds = subscription.timeout.total_seconds()
        self._group = subscription.group
        self._topic = subscription.contract.topic

    async def apply(self, records: Sequence[Record], stop: asyncio.Event, ours: Callable[[], bool]) -> None:
        """Apply a batch, however long database and broker are away. Raises :class:`Abandoned`."""
        items: list[_Item[D]] = []
        malformed: list[tuple[Record, MalformedEvent]] = []
        seen: set[str] = set()
        for record in records:
            if self._is_for_others(record):
                CONSUMED.labels(self._group, "ignored").inc()
                continue
            try:
                event = self._decoded(record)
            except MalformedEvent as mistake:
                malformed.append((record, mistake))
                continue
            if event.id in seen:
                CONSUMED.labels(self._group, "duplicate").inc()
                continue
            seen.add(event.id)
            items.append(_Item(record, event))
        if items:
            await self._apply_items(items, stop, ours)
        for record, error in malformed:  # last, so that a batch that is tried again buries them once
            await self._lay_to_rest(record, "malformed", error, 1, stop, ours)

    def _is_for_others(self, record: Record) -> bool:
        """In our dead-letter topic only redriven copies are for us."""
        return record.topic != self._topic.name and redrive_of(record.headers) is None

    def _decoded(self, record: Record) -> Event[D]:
        headers = own_headers(record.headers) if record.topic != self._topic.name else record.headers
        event = decode(self._subscription.contract, record.value, headers)
        if "\x00" in event.id or len(event.id) > _LONGEST_ID:
            raise MalformedEvent(f"{self._topic.name}: ce_id is longer than {_LONGEST_ID} characters or has a NUL")
        return event

    async def _apply_items(self, items: Sequence[_Item[D]], stop: asyncio.Event, ours: Callable[[], bool]) -> None:
        """The whole batch at once; if that fails, record by record."""
        waits = BackOff(0.2, 15)
        while True:
            try:
                await self._in_one_transaction([item.event for item in items])
                return
            except Exception as error:  # noqa: BLE001 - sorted below
                why = await self._kind(error)
                RETRIES.labels(self._group, why).inc()
                if why != "away":
                    break
                self._tell_of_wait(error, waits)
            await self._wait(waits.next(), stop, ours)
        for item in items:
            await self._apply_one(item, stop, ours)

    async def _apply_one(self, item: _Item[D], stop: asyncio.Event, ours: Callable[[], bool]) -> None:
        """One record, until it is applied or laid to rest."""
        first = self._subscription.first_retry.total_seconds()
        waits, tries, attempts = BackOff(0.2, 15), BackOff(first, 10), 0
        while True:
            try:
                await self._in_one_transaction([item.event])
                HELD.labels(self._group).set(0)
                return
            except Exception as error:  # noqa: BLE001 - sorted below
                why = await self._kind(error)
                RETRIES.labels(self._group, why).inc()
                if why == "away":
                    self._tell_of_wait(error, waits)
                    await self._wait(waits.next(), stop, ours)
                    continue
                attempts += 1
                if why == "permanent":
                    await self._lay_to_rest(item.record, "permanent", error, attempts, stop, ours)
                    return
                if attempts >= self._subscription.max_attempts:
                    if not self._limit.spent():
                        await self._lay_to_rest(item.record, "failed", error, attempts, stop, ours)
                        self._limit.count()
                        return
                    HELD.labels(self._group).set(1)
                    _log.error(
                        "subscriber held: too many records fail, the handler is at fault",
                        group=self._group,
                        record=_where(item.record),
                        error=type(error).__name__,
                    )
            await self._wait(tries.next(), stop, ours)

    async def _in_one_transaction(self, events: Sequence[Event[D]]) -> None:
        began = time.perf_counter()
        with tracer("delivery").start_as_current_span(
            f"process {self._topic.name}",
            kind=trace.SpanKind.CONSUMER,
            links=links_to(event.traceparent for event in events),
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": self._topic.name,
                "messaging.consumer.group.name": self._group,
                "messaging.batch.message_count": len(events),
            },
        ):
            try:
                async with asyncio.timeout(self._handler_seconds) as timeout, self._engine.begin() as connection:
                    new = await _new(connection, self._group, events)
                    if new:
                        await self._subscription.handle(connection, new)
            except TimeoutError as error:
                if timeout.expired():
                    raise HandlerTooSlow(f"not done within {self._handler_seconds:g} s") from error
                raise
        HANDLED.labels(self._group).observe(time.perf_counter() - began)
        CONSUMED.labels(self._group, "applied").inc(len(new))
        CONSUMED.labels(self._group, "duplicate").inc(len(events) - len(new))

    async def _kind(self, error: BaseException) -> str:
        """``away``: wait, however long; ``permanent``: never; ``failed``: a few more tries."""
        if isinstance(error, HandlerTooSlow):
            return "failed" if await self._database_answers() else "away"
        if is_transient(error) or isinstance(error, KafkaError):
            return "away"
        return "permanent" if isinstance(error, Permanent) else "failed"

    async def _lay_to_rest(
        self,
        record: Record,
        why: Why,
        error: BaseException,
        attempts: int,
        stop: asyncio.Event,
        ours: Callable[[], bool],
    ) -> None:
        """Put a record to the dead letters, however long the broker is away."""
        waits = BackOff(0.2, 15)
        while True:
            try:
                await self._bury(record, why, error, attempts)
            except (KafkaError, OSError) as away:
                self._tell_of_wait(away, waits)
            else:
                CONSUMED.labels(self._group, "dead").inc()
                _log.error(
                    "dead letter",
                    group=self._group,
                    record=_where(record),
                    why=why,
                    attempts=attempts,
                    error=type(error).__name__,
                )
                return
            await self._wait(waits.next(), stop, ours)

    async def _wait(self, seconds: float, stop: asyncio.Event, ours: Callable[[], bool]) -> None:
        """Wait; heartbeats go on meanwhile. Raises :class:`Abandoned`."""
        if await pause(stop, seconds) or not ours():
            raise Abandoned

    def _tell_of_wait(self, error: BaseException, waits: BackOff) -> None:
        _log.warning(
            "subscriber waits: what it needs is away",
            group=self._group,
            error=type(error).__name__,
            tries=waits.tries + 1,
        )


async def _new(connection: AsyncConnection, group: str, events: Sequence[Event[Any]]) -> list[Event[Any]]:
    """Enter events into the inbox; those that were not there yet, in the order they came.

    Where another member of the group applies the same event at this moment, this waits for its commit.
    """
    ids = sorted(event.id for event in events)  # one order for all: no deadlock between members
    entered = await connection.scalars(_ENTER, {"group": group, "ids": ids})
    new = set(entered)
    return [event for event in events if event.id in new]


_ENTER = sa.text(
    "INSERT INTO inbox (group_name, ce_id) SELECT :group, unnest(CAST(:ids AS text[])) "
    "ON CONFLICT DO NOTHING RETURNING ce_id"
)


def _where(record: Record) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"
