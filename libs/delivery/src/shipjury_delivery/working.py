"""A worker at work: topics first, then relay, subscribers, jobs and housekeeping side by side until ``stop``."""

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from .back_off import BackOff, pause
from .database import Wakeups
from .health import Check
from .job_runner import JobRunner
from .jobs import CHANNEL as JOBS
from .kafka import RETRY_MS
from .maintenance import keep_house
from .outbox import CHANNEL as OUTBOX
from .producers import SharedProducer
from .relay import Relay
from .roles import Worker
from .settings import KafkaSettings
from .subscriber import Subscriber
from .tasks import together
from .topics import TopicRefused, ensure_topics

_log = structlog.get_logger("shipjury.worker")

_MEASURE_SECONDS = 10.0


class Working:
    """The parts of a running worker, and their health."""

    def __init__(self, worker: Worker, *, session_timeout_ms: int = 10_000) -> None:
        self._worker = worker
        settings = worker.settings
        self._wakeups = Wakeups(worker.engine)
        self._relay = (
            Relay(worker.service, worker.engine, settings, self._wakeups.event(OUTBOX)) if worker.relay else None
        )
        self._producer = SharedProducer(settings)
        self._broker = KafkaBroker(
            settings.kafka_bootstrap_servers.split(","),
            client_id=f"shipjury-{settings.service}",
            security=_security(settings),
            consumer_only=True,
            allow_auto_create_topics=False,
            metadata_max_age_ms=30_000,
            retry_backoff_ms=RETRY_MS,
            apply_types=False,
            logger=None,
            graceful_timeout=10,
        )
        self.subscribers = [
            Subscriber(
                one,
                worker.engine,
                settings,
                self._broker,
                self._producer,
                session_timeout_ms=session_timeout_ms,
            )
            for one in worker.subscriptions
        ]
        self._runners = [
            JobRunner(worker.service, worker.engine, one, self._wakeups.event(JOBS)) for one in worker.jobs
        ]

    def checks(self) -> dict[str, Check]:
        """What readyz looks at."""
        relay: dict[str, Check] = {"relay": self._relay.check} if self._relay else {}
        return relay | {f"subscriber {one.group}": one.check for one in self.subscribers}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``."""
        parts: list[Coroutine[Any, Any, None]] = [
            self._wakeups.run(stop),
            keep_house(self._worker.service, self._worker.engine, self._worker.settings, stop),
            self._measure(stop),
            self._with_broker(stop),
            *(runner.run(stop) for runner in self._runners),
        ]
        await together(stop, *parts)

    async def _with_broker(self, stop: asyncio.Event) -> None:
        """Relay and consume, once the topics stand: a consumer that starts before its topic finds it late."""
        if not self._relay and not self.subscribers:
            return
        await self._ensure_topics(stop)
        # FastStream would start one subscriber after another; each of ours joins, and waits for the broker, by itself.
        await self._broker.connect()
        try:
            relay = [self._relay.run(stop)] if self._relay else []
            await together(stop, *relay, *(one.run(stop) for one in self.subscribers))
        finally:
            await self._producer.stop()
            await self._broker.stop()

    async def _measure(self, stop: asyncio.Event) -> None:
        """Keep the lag true while a subscriber waits: it may be the one who does not get on."""
        while not await pause(stop, _MEASURE_SECONDS):
            for one in self.subscribers:
                one.measure()

    async def _ensure_topics(self, stop: asyncio.Event) -> None:
        back_off = BackOff(0.3, 10)
        while not stop.is_set():
            try:
                await ensure_topics(self._worker.settings, self._worker.subscriptions)
                return
            except TopicRefused as error:  # they may be somebody else's to make
                _log.warning("topics not made", service=self._worker.service, error=str(error))
                return
            except (KafkaError, OSError) as error:
                _log.warning("no broker yet", service=self._worker.service, error=type(error).__name__)
            await pause(stop, back_off.next())


def _security(settings: KafkaSettings) -> BaseSecurity | None:
    """How FastStream connects, from the settings; ``kafka.connection`` says the same to aiokafka."""
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    encrypted = protocol.endswith("SSL")
    context = ssl.create_default_context(cafile=settings.kafka_ca_file) if encrypted else None
    if not protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=True)
    mechanism = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}[
        settings.kafka_sasl_mechanism
    ]
    password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
    return mechanism(username=settings.kafka_username or "", password=password, ssl_context=context, use_ssl=encrypted)
