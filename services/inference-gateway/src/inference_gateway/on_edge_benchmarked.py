"""`edge.benchmarks.v1` -> the newest measurement of each model on each node, for the fleet's page."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import Subscription
from shipjury_schemas import EdgeBenchmarked, Event

from .store.fleet import fold_benchmark


async def on_edge_benchmarked(connection: AsyncConnection, events: Sequence[Event[EdgeBenchmarked]]) -> None:
    """Keep the newest measurement."""
    for event in sorted(events, key=lambda one: one.data.aggregate_version):
        await fold_benchmark(connection, event.data)


SUBSCRIPTION = Subscription(
    group="inference_gateway.on_edge_benchmarked", contract=EdgeBenchmarked, handle=on_edge_benchmarked
)
