"""A reviewer was rated: its page shows its card, its model's exam and its record."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, ReviewerRated

from .store.panel import keep_reviewer
from .store.site import touch


async def on_reviewer_rated(connection: AsyncConnection, events: Sequence[Event[ReviewerRated]]) -> None:
    """Fold a batch; an event that is not newer than what stands changes nothing."""
    changes = [await keep_reviewer(connection, event.data) for event in events]
    if any(changes):
        await touch(connection)
