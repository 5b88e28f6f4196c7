"""The sender: claims what is due and brings each mail to an end, whatever dies in between."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_delivery.database import is_transient
from shipjury_delivery.telemetry import context_from, tracer

from . import mail
from .domain.digest import Preferences, for_reader
from .mailer import Mailer
from .settings import Settings
from .store import changes, deliveries, issues, subscribers
from .store.deliveries import Delivery

_log = structlog.get_logger("shipjury.notifier")

MAILS = Counter("shipjury_mails_total", "Mails by kind and what became of them.", ["kind", "state"])

_POLL_SECONDS = 2.0
_WORKERS = 4


class Sender:
    """Sends due mails until it is stopped."""

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        mailer: Mailer,
        clock: Callable[[], datetime],
        wake: asyncio.Event,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._mailer = mailer
        self._clock = clock
        self._wake = wake
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._tracer = tracer("notifier")

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``; a database that is away is waited for."""
        while not stop.is_set():
            try:
                sent = await self.send_due(stop)
            except Exception as error:
                if not is_transient(error):
                    raise
                _log.warning("database is away, mails wait", error=type(error).__name__)
                sent = 0
            if not sent:
                await self._pause(stop)

    async def send_due(self, stop: asyncio.Event | None = None) -> int:
        """Send one batch of what is due; how many were claimed."""
        now = self._clock()
        async with self._engine.begin() as connection:
            recovered = await deliveries.recover(
                connection, now, retry_uncertain=self._settings.uncertain_policy == "retry"
            )
            claimed = await deliveries.claim(
                connection, now, lease=self._lease, per_domain_per_minute=self._settings.per_domain_per_minute
            )
        if any(recovered.values()):
            _log.warning("deliveries of a dead worker were found", **recovered)
        gate = asyncio.Semaphore(_WORKERS)
        left: list[Delivery] = []

        async def one(delivery: Delivery) -> None:
            async with gate:
                if stop is not None and stop.is_set():
                    left.append(delivery)
                    return
                await self._deliver(delivery)

        try:
            await asyncio.gather(*(one(delivery) for delivery in claimed))
        finally:
            if left:
                async with self._engine.begin() as connection:
                    await deliveries.release(connection, left)
        return len(claimed)

    async def _deliver(self, delivery: Delivery) -> None:
        with self._tracer.start_as_current_span(
            f"send {delivery.kind}", context=context_from(delivery.traceparent), kind=SpanKind.CLIENT
        ) as span:
            span.set_attribute("shipjury.delivery.id", str(delivery.id))
            try:
                state = await self._send(delivery)
            except deliveries.LeaseLost:
                _log.warning("another worker took this delivery", delivery=str(delivery.id))
                return
            span.set_attribute("shipjury.delivery.state", state)
            MAILS.labels(delivery.kind, state).inc()
            _log.info("mail", kind=delivery.kind, state=state, delivery=str(delivery.id))

    async def _send(self, delivery: Delivery) -> str:
        async with self._engine.begin() as connection:
            reader = await subscribers.get(connection, delivery.subscriber_id)
            expected = "pending" if delivery.kind == "confirmation" else "confirmed"
            if reader is None or reader.state != expected:
                await deliveries.skip(connection, delivery, "the subscriber has left or confirmed", self._clock())
                return "skipped"
            try:
                message = await self._message(connection, delivery, reader)
            except mail.MailTooLarge as error:
                await deliveries.skip(connection, delivery, str(error), self._clock())
                return "skipped"
            if message is None:
                await deliveries.skip(connection, delivery, "nothing that this reader asked for", self._clock())
                return "skipped"

        async def before_content() -> None:
            async with self._engine.begin() as connection:
                await deliveries.hand_over(connection, delivery, self._clock(), self._lease)

        outcome = await self._mailer.send(message, before_content)
        async with self._engine.begin() as connection:
            return await deliveries.record(connection, delivery, outcome, self._clock())

    async def _message(
        self, connection: AsyncConnection, delivery: Delivery, reader: subscribers.Subscriber
    ) -> EmailMessage | None:
        if delivery.kind == "confirmation":
            return mail.confirmation(self._settings, reader, delivery.id, delivery.created_at)
        if delivery.change_id is not None:
            change = await changes.get(connection, delivery.change_id)
            return (
                None if change is None else mail.flip(self._settings, change, reader, delivery.id, delivery.created_at)
            )
        issue = await issues.get(connection, delivery.digest_id or "")
        if issue is None:
            return None
        wanted = Preferences(categories=frozenset(reader.categories), tools=frozenset(reader.tools))
        items = for_reader(issue.items, wanted)
        return mail.digest(self._settings, issue, items, reader, delivery.id) if items else None

    async def _pause(self, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._wake.wait())]
        _, unfinished = await asyncio.wait(waits, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in unfinished:
            wait.cancel()
        self._wake.clear()
