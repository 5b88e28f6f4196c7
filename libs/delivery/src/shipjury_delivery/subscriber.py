"""A running subscriber: FastStream's batch subscriber on raw records, acknowledged by hand after the transaction."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage, KafkaMessage
from sqlalchemy.ext.asyncio import AsyncEngine

from . import dead_letters
from .apply import Abandoned, Applier, Limit, Record
from .back_off import BackOff, pause
from .consume import D, Subscription
from .database import answers
from .dead_letters import Origin, Why
from .health import NotReady
from .kafka import stop_consumer
from .metrics import AGE, DEAD, LAG
from .producers import SharedProducer
from .settings import ServiceSettings

_log = structlog.get_logger("shipjury.consume")

# aiokafka evicts a consumer that does not poll for that long; we may wait for the database longer. What the interval
# is for, a handler that hangs, is cut off by delivery's own timeout.
_POLL_INTERVAL_MS = 2**31 - 1
_REVOKE_SECONDS = 5.0
_LEAVE_SECONDS = 15.0


class Subscriber(ConsumerRebalanceListener, Generic[D]):  # type: ignore[misc]
    """Runs one subscription on a FastStream broker."""

    def __init__(
        self,
        subscription: Subscription[D],
        engine: AsyncEngine,
        settings: ServiceSettings,
        broker: KafkaBroker,
        producer: SharedProducer,
        *,
        session_timeout_ms: int = 10_000,
        idle_ms: int = 40,
    ) -> None:
        self.group = subscription.group
        self._producer = producer
        self._topic = subscription.contract.topic
        self._dead_letters = self._topic.dead_letters(self.group)
        self._applier = Applier(
            subscription,
            engine,
            self._bury,
            limit=Limit(settings.dead_letter_limit),
            database_answers=lambda: answers(engine),
        )
        self._generation = 0
        self._committed: dict[TopicPartition, int] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._stop = asyncio.Event()
        self._abandoned = False
        self._started = False
        self._subscriber = broker.subscriber(
            self._topic.name,
            self._dead_letters,
            group_id=self.group,
            batch=True,
            max_records=settings.consume_batch,
            batch_timeout_ms=idle_ms,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            rebalance_timeout_ms=30_000,
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=session_timeout_ms // 3,
            isolation_level="read_committed" if settings.kafka_transactions else "read_uncommitted",
            listener=self,
            parser=_raw,
            decoder=_as_it_came,
        )
        self._subscriber(self._on_batch)

    async def run(self, stop: asyncio.Event) -> None:
        """Join the group, with back-off while there is no broker; leave it at ``stop``."""
        back_off = BackOff(0.3, 10)
        try:
            while not stop.is_set():
                try:
                    await self._subscriber.start()
                    self._started = True
                    _log.info("subscriber runs", group=self.group, topic=self._topic.name)
                    await stop.wait()
                except (KafkaError, OSError) as error:
                    _log.warning("subscriber cannot start yet", group=self.group, error=type(error).__name__)
                    await self._leave()
                    await pause(stop, back_off.next())
        finally:
            self._stop.set()  # a batch that waits gives up; one that is being applied is finished
            self._started = False
            await self._leave()

    async def check(self) -> None:
        """Raises ``NotReady`` unless this subscriber is a member of its group."""
        consumer = self._subscriber.consumer
        if not self._started or consumer is None:
            raise NotReady("is not started")
        if not self._generation:
            raise NotReady("has not joined its group yet")

    @property
    def joined(self) -> int:
        """How often this subscriber was assigned partitions: once, and once more for each rebalance."""
        return self._generation

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Before partitions go: let the batch in hand finish and commit, so that nobody repeats it. Bounded."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _REVOKE_SECONDS)
        for gone in revoked:
            self._committed.pop(gone, None)
            with contextlib.suppress(KeyError):
                LAG.remove(self.group, gone.topic, str(gone.partition))

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """From here on, a batch fetched before is not ours any more: what it holds will be fetched again."""
        self._generation += 1

    async def _on_batch(self, records: Any) -> None:  # FastStream would build a model from a narrower type
        if self._abandoned or not records:
            return
        generation = self._generation
        self._idle.clear()
        for record in records:  # until it is committed, the lag starts here
            self._committed.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        try:
            await self._applied(records, generation)
            await self._commit(records, generation)
        except Abandoned:
            self._abandoned = self._stop.is_set()  # from then on nothing may be committed
            self._rewind(records)
        finally:
            self._idle.set()

    async def _applied(self, records: Sequence[Record], generation: int) -> None:
        """Apply, and never let an error of our own out: FastStream would drop the batch and go on."""
        back_off = BackOff(0.5, 30)
        while True:
            try:
                await self._applier.apply(records, self._stop, lambda: self._generation == generation)
                return
            except Abandoned:
                raise
            except Exception:  # noqa: BLE001 - a bug here must hold the group, not lose a batch
                _log.exception("delivery itself failed; the batch is tried again", group=self.group)
            if await pause(self._stop, back_off.next()) or self._generation != generation:
                raise Abandoned

    async def _commit(self, records: Sequence[Record], generation: int) -> None:
        """Commit to Kafka, after the transaction. What stays uncommitted is fetched again and known by its id."""
        consumer: Any = self._subscriber.consumer
        last = {TopicPartition(record.topic, record.partition): record for record in records}
        offsets = {partition: record.offset + 1 for partition, record in last.items()}
        back_off = BackOff(0.2, 10)
        while consumer is not None and self._generation == generation:
            try:
                await consumer.commit(offsets)
                break
            except (CommitFailedError, IllegalStateError):
                return  # a rebalance came between; the next owner starts where the last commit was
            except KafkaError as error:
                _log.warning("offsets wait for the broker", group=self.group, error=type(error).__name__)
            if await pause(self._stop, back_off.next()):
                raise Abandoned
        self._note(last)
        self.measure()

    def _rewind(self, records: Sequence[Record]) -> None:
        """Fetch again what is given up here, as far as it is still ours. A rebalance resets positions anyway."""
        consumer: Any = self._subscriber.consumer
        if consumer is None:
            return
        first: dict[TopicPartition, int] = {}
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        for partition, offset in first.items():
            with contextlib.suppress(IllegalStateError):
                consumer.seek(partition, offset)

    def measure(self) -> None:
        """Set the gauges of lag: how far each partition's end is from what was applied and committed."""
        consumer: Any = self._subscriber.consumer
        for partition in consumer.assignment() if consumer else ():
            end, applied = consumer.highwater(partition), self._committed.get(partition)
            if end is not None and applied is not None:
                LAG.labels(self.group, partition.topic, str(partition.partition)).set(max(end - applied, 0))

    def _note(self, last: dict[TopicPartition, Record]) -> None:
        for partition, record in last.items():
            self._committed[partition] = record.offset + 1
            AGE.labels(self.group, partition.topic).set(max(time.time() - record.timestamp / 1000, 0))

    async def _bury(self, record: Record, why: Why, error: BaseException, attempts: int) -> None:
        headers = dead_letters.headers_for(
            record.headers,
            group=self.group,
            why=why,
            error=error,
            attempts=attempts,
            origin=Origin(
                record.topic, record.partition, record.offset, datetime.fromtimestamp(record.timestamp / 1000, UTC)
            ),
            no_key=record.key is None and record.value is None,
        )
        async with self._producer.use() as producer:
            await dead_letters.send(producer, self._dead_letters, record.key, record.value, headers)
        DEAD.labels(self.group, self._topic.name, why).inc()

    async def _leave(self) -> None:
        await stop_consumer(self._subscriber.stop(), self._subscriber.consumer, _LEAVE_SECONDS)
        self._subscriber.consumer = None


async def _raw(records: Any) -> KafkaMessage:
    """The batch as aiokafka gave it: FastStream's own parser decodes headers, and fails on what is not UTF-8."""
    return KafkaAckableMessage(body=b"", raw_message=records, consumer=_Nobody())


async def _as_it_came(message: Any) -> Any:
    return message.raw_message


class _Nobody:
    """FastStream wants a consumer to commit on; we commit ourselves, by partition and offset."""

    async def commit(self) -> None:
        raise NotImplementedError

    def seek(self, partition: Any, offset: int) -> None:
        raise NotImplementedError
