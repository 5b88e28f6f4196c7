"""A tally changed: pages show the community's share."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, TallyChanged

from .store.community import keep_tally
from .store.site import touch


async def on_tally_changed(connection: AsyncConnection, events: Sequence[Event[TallyChanged]]) -> None:
    """Fold a batch; an event that is not newer than what stands changes nothing."""
    changes = [await keep_tally(connection, event.data) for event in events]
    if any(changes):
        await touch(connection)
