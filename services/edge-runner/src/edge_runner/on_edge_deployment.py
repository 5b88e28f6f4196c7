"""`edge.deployments.v1` -> what this node should hold. Read from the beginning without a group; a node takes its key.

A node has no database, so there is no inbox: the event is a whole desired set with a generation, and one that is not
newer changes nothing. When the broker is away the node goes on with what it knows.
"""

import asyncio
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shipjury_delivery.kafka import consuming
from shipjury_schemas import EdgeDeployment, decode
from shipjury_schemas.envelope import MalformedEvent

from .domain.holdings import Desired, Wanted

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_POLL_MS = 500
_METADATA_MS = 5_000
log = structlog.get_logger("edge_runner")


async def follow_deployments(node_id: str, servers: str, want: Callable[[Desired], bool], stop: asyncio.Event) -> None:
    """Hand every newer desired set of this node to ``want`` until ``stop``."""
    wait = _FIRST_WAIT
    while not stop.is_set():
        try:
            await _follow(node_id, servers, want, stop)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("deployments_unreachable", error=str(error) or repr(error), again_in_seconds=wait)
            await _pause(stop, wait)
            wait = min(wait * 2, _LONGEST_WAIT)


async def _follow(node_id: str, servers: str, want: Callable[[Desired], bool], stop: asyncio.Event) -> None:
    consumer = AIOKafkaConsumer(
        EdgeDeployment.topic.name,
        bootstrap_servers=servers,
        client_id=f"edge-runner-{node_id}",
        group_id=None,
        auto_offset_reset="earliest",
        metadata_max_age_ms=_METADATA_MS,  # the topic may be made after the node was started
        request_timeout_ms=5_000,
        retry_backoff_ms=200,
    )
    async with consuming(consumer):
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                newest = [desired for record in records if (desired := _own(node_id, record)) is not None]
                if newest:
                    want(max(newest, key=lambda one: one.generation))


def _own(node_id: str, record) -> Desired | None:  # type: ignore[no-untyped-def]  # aiokafka has no types
    if record.key != node_id.encode():
        return None
    try:
        event = decode(EdgeDeployment, record.value, record.headers).data
    except MalformedEvent as error:
        log.error("deployment_unreadable", offset=record.offset, error=str(error))
        return None
    models = tuple(Wanted(one.model, one.context_tokens, one.slots, one.accept_licence) for one in event.models)
    return Desired(event.aggregate_version, models, cordoned=event.cordoned, drained=event.drained)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
