"""Tells the fleet what this node has and holds: a beat every few seconds, and one at every change.

A node has no database, so there is no outbox: a beat is a state that the next beat replaces, and a lost one is made
good within seconds. Nothing is queued: when the broker is back, the newest state goes out, so memory stays bounded.
"""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shipjury_schemas import Contract, EdgeNode, Event, encode
from shipjury_schemas.edge_node.v1 import LoadedModel

from .domain.beats import next_version
from .node import Holding, Node, Trouble

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_SEND_SECONDS = 10.0
log = structlog.get_logger("edge_runner")


async def publish(servers: str, node_id: str, data: Contract) -> None:
    """Publish one event and wait until the broker has it. Raises ``KafkaError``, ``TimeoutError``."""
    producer = _producer(servers, node_id)
    await producer.start()
    try:
        await _send(producer, node_id, data)
    finally:
        await asyncio.wait_for(producer.stop(), _SEND_SECONDS)


async def _send(producer: AIOKafkaProducer, node_id: str, data: Contract) -> None:
    message = encode(Event(data=data, source=f"/edge-runner/{node_id}"))
    sending = producer.send_and_wait(data.topic.name, message.value, key=message.key, headers=list(message.headers))
    await asyncio.wait_for(sending, _SEND_SECONDS)


def _producer(servers: str, node_id: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=servers,
        client_id=f"edge-runner-{node_id}",
        acks="all",
        enable_idempotence=False,
        request_timeout_ms=5_000,
        retry_backoff_ms=200,
    )


class Announcer:
    """Publishes ``edge.nodes.v1``; works on when the broker is gone."""

    def __init__(
        self, node: Node, *, bootstrap_servers: str, base_url: str, heartbeat_seconds: float, labels: dict[str, str]
    ) -> None:
        self._node, self._servers, self._base_url = node, bootstrap_servers, base_url
        self._heartbeat, self._labels = heartbeat_seconds, labels
        self._version = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until ``stop``; then say ``stopped`` (tried once)."""
        wait = _FIRST_WAIT
        while not stop.is_set():
            try:
                await self._beat_until(stop)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("broker_unreachable", error=str(error) or repr(error), again_in_seconds=wait)
                await _first(stop, timeout=wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                wait = _FIRST_WAIT

    async def _beat_until(self, stop: asyncio.Event) -> None:
        producer = _producer(self._servers, self._node.node_id)
        try:
            await producer.start()
            while not stop.is_set():
                self._node.changed.clear()
                await _send(producer, self._node.node_id, self.beat())
                await _first(stop, self._node.changed, timeout=self._heartbeat)
            await _send(producer, self._node.node_id, self.beat())
        finally:
            await asyncio.wait_for(producer.stop(), _SEND_SECONDS)

    def beat(self) -> EdgeNode:
        """The node's state now, with a version newer than any before."""
        self._version = next_version(self._version, time.time_ns())
        node = self._node
        return EdgeNode(
            aggregate_version=self._version,
            node_id=node.node_id,
            state=node.state,
            base_url=self._base_url,
            engine=", ".join(sorted({holding.engine.build() for holding in node.holdings.values()})),
            memory_bytes=node.memory_bytes,
            memory_used_bytes=sum(holding.resident_bytes() for holding in node.holdings.values()),
            labels=self._labels,
            models=tuple(_told(node)),
            generation=node.generation,
            cordoned=node.closed,
            heartbeat_seconds=self._heartbeat,
            beat_at=datetime.now(UTC),
        )


def _told(node: Node) -> Iterator[LoadedModel]:
    """Every model that the node holds or should hold."""
    for model, holding in node.holdings.items():
        yield _loaded(holding, node.troubles.get(model))
    for model, trouble in node.troubles.items():
        if model not in node.holdings:
            yield LoadedModel(
                model=model,
                state="failed" if trouble.code else "loading",
                context_tokens=0,
                slots=0,
                reason=trouble.text,
                reason_code=trouble.code,
                progress=trouble.progress,
            )


def _loaded(holding: Holding, trouble: Trouble | None) -> LoadedModel:
    """``trouble`` is that of another form of the model, which takes this one's place when it can."""
    status = holding.supervisor.status
    failure = status.failure
    return LoadedModel(
        model=holding.model.id,
        state=holding.state,
        context_tokens=holding.spec.context,
        slots=holding.spec.slots,
        weights_sha256=holding.weights.sha256,
        quantization=holding.weights.quantization,
        licence=holding.model.licence.name,
        max_logprobs=holding.engine.max_logprobs,
        capabilities=holding.capabilities,
        tokens_per_second=status.tokens_per_second,
        reason=failure.text if failure else trouble.text if trouble else None,
        reason_code=failure.kind if failure else trouble.code if trouble else None,
        progress=trouble.progress if trouble else "starting" if holding.state == "loading" else None,
        estimated_bytes=holding.needs,
        resident_bytes=holding.resident_bytes(),
        running=holding.gate.running,
        waiting=holding.gate.waiting,
    )


async def _first(*events: asyncio.Event, timeout: float) -> None:
    """Wait for any of the events, at most ``timeout`` seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
