"""A verdict was issued: the tool's page, lists and comparisons show it from now on."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, VerdictIssued

from .store.panel import keep_verdict
from .store.site import touch


async def on_verdict_issued(connection: AsyncConnection, events: Sequence[Event[VerdictIssued]]) -> None:
    """Fold a batch; an event that is not newer than what stands changes nothing."""
    changes = [await keep_verdict(connection, event.data) for event in events]
    if any(changes):
        await touch(connection)
