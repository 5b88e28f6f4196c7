"""The outbox: an event is written in the same transaction as the state change that it tells of."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, encode

from .tables import outbox
from .telemetry import current_traceparent, tracer

CHANNEL = "shipjury_outbox"


async def publish(connection: AsyncConnection, *events: Event[Any]) -> None:
    """Write events to the outbox, within the caller's transaction.

    The caller has locked the aggregate's row, so that ids rise per key. An event without a ``traceparent`` gets the
    current span's. Raises ``EventTooLarge``; then nothing of the transaction should be committed.
    """
    if not events:
        return
    await connection.execute(sa.insert(outbox), [_row(event) for event in events])
    await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))


def _row(event: Event[Any]) -> dict[str, Any]:
    topic = event.data.topic.name
    with tracer("delivery").start_as_current_span(
        f"publish {topic}",
        kind=trace.SpanKind.PRODUCER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
            "messaging.message.id": event.id,
        },
    ):
        stamped = event if event.traceparent else replace(event, traceparent=current_traceparent())
        message = encode(stamped)
    return {
        "topic": topic,
        "key": message.key.decode(),
        "event_id": event.id,
        "value": message.value,
        "headers": [[name, raw.decode()] for name, raw in message.headers],
        "traceparent": stamped.traceparent,
    }
