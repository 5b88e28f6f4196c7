"""tallies.changed.v1 -> where the community stands, for `panel against community` and `most contested`."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, TallyChanged

from .store import changes


async def on_tally_changed(connection: AsyncConnection, events: Sequence[Event[TallyChanged]]) -> None:
    """Fold the newest tally of each tool."""
    newest = {event.data.tool_id: event.data for event in events}
    for data in sorted(newest.values(), key=lambda tally: tally.tool_id):
        await changes.fold_tally(
            connection, tool_id=data.tool_id, ship=data.ship, skip=data.skip, version=data.aggregate_version
        )
