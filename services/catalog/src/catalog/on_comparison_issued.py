"""The panel compared two tools: their compare page shows its answer while both verdicts stand."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import ComparisonIssued, Event

from .store.panel import keep_comparison
from .store.site import touch


async def on_comparison_issued(connection: AsyncConnection, events: Sequence[Event[ComparisonIssued]]) -> None:
    """Fold a batch; an event that is not newer than what stands changes nothing."""
    changes = [await keep_comparison(connection, event.data) for event in events]
    if any(changes):
        await touch(connection)
