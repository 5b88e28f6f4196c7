"""`edge.nodes.v1` -> the node's newest state in the database; replicas refresh from there (NOTIFY by trigger)."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import Subscription
from shipjury_schemas import EdgeNode, Event

from .store.edge import fold


async def on_edge_node(connection: AsyncConnection, events: Sequence[Event[EdgeNode]]) -> None:
    """Fold the newest state of each node in the batch; a beat that is older than what is known changes nothing."""
    newest = {event.data.node_id: event.data for event in sorted(events, key=lambda one: one.data.aggregate_version)}
    for node in newest.values():
        await fold(connection, node)


SUBSCRIPTION = Subscription(group="inference_gateway.on_edge_node", contract=EdgeNode, handle=on_edge_node)
