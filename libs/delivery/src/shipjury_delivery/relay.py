"""The outbox relay: sends what is unsent, in id order, one relay at a time.

It selects *unsent* rows and never "after the last id", since a transaction may commit later than one with a higher
id. All of its SQL runs on the connection that holds the advisory lock: a relay that has lost its lock can mark nothing.
Killed between send and mark it sends again; subscribers know an event by its id.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .back_off import BackOff, pause
from .database import dedicated
from .health import NotReady
from .kafka import producing
from .metrics import RELAYING, SENT
from .settings import ServiceSettings
from .tables import outbox

_log = structlog.get_logger("shipjury.relay")

_LOCK = 0x5348_4A55_0002
_BATCH_BYTES = 8 * 1024 * 1024
_ALONE_BYTES = 8 * 1024  # half of aiokafka's batch: a row above it may be refused while the next one is taken
_STANDBY_SECONDS = 1.0
_HELD_SECONDS = 15.0
_TOPIC_SECONDS = 1.0
_REFUSES_ROW = (MessageSizeTooLargeError,)
_REFUSES_TOPIC = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, InvalidTopicError)

_UNSENT = sa.text(
    """
    SELECT id, topic, key, value, headers FROM (
        SELECT o.*, sum(octet_length(value)) OVER (ORDER BY id) - octet_length(value) AS bytes_before
        FROM (
            SELECT id, topic, key, value, headers FROM outbox o
            WHERE sent_at IS NULL AND parked_at IS NULL AND topic <> ALL (CAST(:held AS text[]))
              AND NOT EXISTS (
                  SELECT 1 FROM outbox p
                  WHERE p.topic = o.topic AND p.key = o.key AND p.id < o.id
                    AND p.parked_at IS NOT NULL AND p.sent_at IS NULL
              )
            ORDER BY id LIMIT :rows
        ) o
    ) o WHERE bytes_before < :bytes ORDER BY id
    """
)


@dataclass(frozen=True)
class _Row:
    id: int
    topic: str
    key: str
    value: bytes
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class _Sent:
    """What became of a batch. ``failed``: try again with another producer; ``refused``: park; ``held``: topics."""

    ids: list[int]
    refused: dict[int, str]
    held: set[str]
    failed: KafkaError | None


class Relay:
    """Sends a service's outbox. ``wake`` is set when there may be something to send."""

    def __init__(
        self,
        service: str,
        engine: AsyncEngine,
        settings: ServiceSettings,
        wake: asyncio.Event,
        *,
        poll_seconds: float = 1.0,
    ) -> None:
        self._service = service
        self._engine = engine
        self._settings = settings
        self._wake = wake
        self._poll_seconds = poll_seconds
        self._held: dict[str, float] = {}
        self._state = "has not started"

    async def check(self) -> None:
        """Raises ``NotReady`` unless this relay sends, or stands by for the one that does."""
        if self._state not in {"sends", "stands by"}:
            raise NotReady(self._state)

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until ``stop``; outlives broker and database going away."""
        back_off = BackOff(0.2, 10)
        while not stop.is_set():
            try:
                await self._lead(stop, back_off)
            except Exception as error:  # noqa: BLE001 - nothing may end the relay; the next try starts afresh
                self._state = f"failed: {type(error).__name__}"
                _log.warning("relay starts again", service=self._service, error=_brief(error))
            finally:
                RELAYING.labels(self._service).set(0)
            await pause(stop, back_off.next())
        self._state = "stopped"

    async def _lead(self, stop: asyncio.Event, back_off: BackOff) -> None:
        async with dedicated(self._engine, f"shipjury {self._service} relay") as connection:
            while not await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
                self._state = "stands by"
                if await pause(stop, _STANDBY_SECONDS):
                    return
            options: dict[str, Any] = {}
            if self._settings.kafka_transactions:
                options["transactional_id"] = f"shipjury-{self._service}-outbox"
            async with producing(self._settings, **options) as producer:
                self._state = "sends"
                RELAYING.labels(self._service).set(1)
                _log.info("relay sends", service=self._service)
                await self._send_all(connection, producer, stop, back_off)

    async def _send_all(
        self, connection: AsyncConnection, producer: AIOKafkaProducer, stop: asyncio.Event, back_off: BackOff
    ) -> None:
        while not stop.is_set():
            self._wake.clear()
            rows = await self._unsent(connection)
            if not rows:
                await pause(stop, self._poll_seconds, self._wake)
                continue
            batch = _order_safe(rows)
            sent = await (
                self._send_in_transaction(producer, batch, stop)
                if self._settings.kafka_transactions
                else _send(producer, batch, stop)
            )
            await self._mark(connection, batch, sent)
            if sent.failed:
                raise sent.failed
            back_off.reset()

    async def _unsent(self, connection: AsyncConnection) -> list[_Row]:
        now = asyncio.get_running_loop().time()
        self._held = {topic: until for topic, until in self._held.items() if until > now}
        found = await connection.execute(
            _UNSENT, {"rows": self._settings.outbox_batch, "bytes": _BATCH_BYTES, "held": list(self._held)}
        )
        return [
            _Row(row.id, row.topic, row.key, row.value, [(name, text.encode()) for name, text in row.headers])
            for row in found
        ]

    async def _send_in_transaction(
        self, producer: AIOKafkaProducer, batch: Sequence[_Row], stop: asyncio.Event
    ) -> _Sent:
        """All or nothing; the transactional id keeps out a relay that was thought dead."""
        nothing: list[int] = []
        await producer.begin_transaction()
        sent = await _send(producer, batch, stop)
        ends = producer.commit_transaction if len(sent.ids) == len(batch) else producer.abort_transaction
        # What is not ended here, since the process stops, is aborted by the broker: the next relay has the same id.
        ended = await _unless(stop, ends())
        return sent if ended and len(sent.ids) == len(batch) else replace(sent, ids=nothing)

    async def _mark(self, connection: AsyncConnection, batch: Sequence[_Row], sent: _Sent) -> None:
        if sent.ids:
            await connection.execute(
                sa.text("UPDATE outbox SET sent_at = clock_timestamp() WHERE id = ANY (CAST(:ids AS bigint[]))"),
                {"ids": sent.ids},
            )
        marked = set(sent.ids)
        for row in batch:
            if row.id in marked:
                SENT.labels(self._service, row.topic).inc()
        for row_id, why in sent.refused.items():
            _log.error("outbox row parked: the broker refuses it", service=self._service, row=row_id, error=why)
            await connection.execute(
                sa.update(outbox).where(outbox.c.id == row_id).values(parked_at=sa.func.clock_timestamp(), error=why)
            )
        for topic in sent.held:
            _log.error("topic held: the broker does not take it", service=self._service, topic=topic)
            self._held[topic] = asyncio.get_running_loop().time() + _HELD_SECONDS


def _order_safe(rows: Iterable[_Row]) -> list[_Row]:
    """What may be in flight together: nothing follows, under its key, a row that the broker may refuse for its size."""
    waiting: set[tuple[str, str]] = set()
    batch = []
    for row in rows:
        if (row.topic, row.key) not in waiting:
            batch.append(row)
        if len(row.value) > _ALONE_BYTES:
            waiting.add((row.topic, row.key))
    return batch


async def _send(producer: AIOKafkaProducer, batch: Sequence[_Row], stop: asyncio.Event) -> _Sent:
    """Send rows in order and wait for their acknowledgement, or for ``stop``: what is open then is sent again later."""
    sent = _Sent([], {}, set(), None)
    open_rows: list[tuple[_Row, asyncio.Future[Any]]] = []
    failed: KafkaError | None = None
    for topic in dict.fromkeys(row.topic for row in batch):
        if not await _known(producer, topic):
            sent.held.add(topic)
    for row in batch:
        if row.topic in sent.held:
            continue
        try:
            future = await producer.send(row.topic, row.value, row.key.encode(), headers=row.headers)
        except _REFUSES_ROW as error:
            sent.refused[row.id] = _brief(error)
        except _REFUSES_TOPIC:
            sent.held.add(row.topic)
        except KafkaError as error:
            failed = error
            break
        else:
            open_rows.append((row, future))
    if open_rows:
        await _settled([future for _, future in open_rows], stop)
    unsure: set[tuple[str, str]] = set()
    for row, future in open_rows:
        key = (row.topic, row.key)
        if not future.done() or future.cancelled():
            unsure.add(key)
            continue
        outcome = future.exception()
        if isinstance(outcome, _REFUSES_ROW):
            sent.refused[row.id] = _brief(outcome)
        elif isinstance(outcome, _REFUSES_TOPIC):
            sent.held.add(row.topic)
        elif outcome is not None:
            unsure.add(key)
            failed = outcome if isinstance(outcome, KafkaError) else KafkaError(repr(outcome))
        elif key not in unsure:  # else it is sent again, behind the one before it
            sent.ids.append(row.id)
    return _Sent(sent.ids, sent.refused, sent.held, failed)


async def _known(producer: AIOKafkaProducer, topic: str) -> bool:
    """Whether the topic exists; aiokafka's own send would hold up every other row while it waits for one."""
    try:
        async with asyncio.timeout(_TOPIC_SECONDS):
            await producer.partitions_for(topic)
    except (TimeoutError, *_REFUSES_TOPIC):
        return False
    return True


async def _settled(futures: Sequence[asyncio.Future[Any]], stop: asyncio.Event) -> None:
    await _unless(stop, asyncio.gather(*(asyncio.shield(future) for future in futures), return_exceptions=True))


async def _unless(stop: asyncio.Event, work: Awaitable[Any]) -> bool:
    """Wait for work, but not past ``stop``: with the broker away it may last for ever. Returns whether it ended."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        stopping.cancel()
        working.cancel()


def _brief(error: BaseException) -> str:
    """The kind of an error, and what Kafka says of it; no statement, no parameters."""
    return f"{type(error).__name__}: {error}"[:500] if isinstance(error, KafkaError) else type(error).__name__
