"""An edge node measured a model: the methods page shows how fast the judge runs where."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import EdgeBenchmarked, Event

from .store.community import keep_benchmark
from .store.site import touch


async def on_edge_benchmarked(connection: AsyncConnection, events: Sequence[Event[EdgeBenchmarked]]) -> None:
    """Fold a batch; an event that is not newer than what stands changes nothing."""
    changes = [await keep_benchmark(connection, event.data) for event in events]
    if any(changes):
        await touch(connection)
