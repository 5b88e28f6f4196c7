"""The outbox: an event is written in the same transaction as the state change that it tells of."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event


async def publish(connection: AsyncConnection, *events: Event[Any]) -> None:
    """Write events to the outbox, within the caller's transaction.

    The caller has locked the aggregate's row, so that ids rise per key. An event without a ``traceparent`` gets the
    current span's. Raises ``EventTooLarge``; then nothing of the transaction should be committed.
    """
    raise NotImplementedError
