"""A node tells the fleet about itself, and does not need the fleet."""

import contextlib
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from shipjury_schemas import EdgeNode, decode

from .conftest import MODEL, StartNode, free_port

pytestmark = pytest.mark.timeout(300)

Beats = AsyncIterator[EdgeNode]


@pytest_asyncio.fixture
async def beats(kafka: str) -> AsyncIterator[Beats]:
    """The beats on a fresh broker, as they come."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    with contextlib.suppress(TopicAlreadyExistsError):
        await admin.create_topics([NewTopic(EdgeNode.topic.name, 1, 1)])
    await admin.close()
    consumer = AIOKafkaConsumer(EdgeNode.topic.name, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()

    async def decoded() -> Beats:
        async for record in consumer:
            event = decode(EdgeNode, record.value, record.headers)
            assert record.key == event.data.node_id.encode()
            assert event.source == f"/edge-runner/{event.data.node_id}"
            yield event.data

    yield decoded()
    await consumer.stop()


async def test_a_node_tells_of_its_start_its_readiness_its_beats_and_its_end(
    beats: Beats, kafka: str, start_node: StartNode
) -> None:
    node = start_node(ready=False, kafka_bootstrap_servers=kafka, heartbeat_seconds="0.3", labels='{"room": "attic"}')
    seen = [await anext(beats)]
    assert seen[0].state == "starting"
    assert [(model.model, model.state) for model in seen[0].models] == [(MODEL, "loading")]
    while seen[-1].state == "starting":
        seen.append(await anext(beats))
    ready = seen[-1]
    assert ready.state == "ready"
    assert ready.base_url == node.base_url
    assert ready.labels == {"room": "attic"}
    assert ready.engine.startswith("llama.cpp")
    assert ready.memory_used_bytes > 100_000_000
    (model,) = ready.models
    assert (model.state, model.licence, model.quantization, model.max_logprobs) == ("ready", "Apache-2.0", "Q4_1", 1000)
    assert model.weights_sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert model.tokens_per_second is not None
    seen += [await anext(beats), await anext(beats)]
    node.process.send_signal(signal.SIGTERM)
    while seen[-1].state != "stopped":
        seen.append(await anext(beats))
    assert {beat.state for beat in seen} == {"starting", "ready", "draining", "stopped"}
    versions = [beat.aggregate_version for beat in seen]
    assert versions == sorted(set(versions))
    start_node(ready=False, kafka_bootstrap_servers=kafka)
    assert (await anext(beats)).aggregate_version > versions[-1]


def test_a_node_serves_without_its_broker(start_node: StartNode) -> None:
    node = start_node(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    assert node.post("/completions", prompt="Hello", max_tokens=1).status_code == 200
    assert "broker_unreachable" in node.log.read_text()
    assert node.stop() == 0
