"""Gateway and worker as processes: a node that announces itself on the broker serves, is billed, and is told of."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shipjury_schemas import EdgeNode, Event, InferenceUsed, decode, encode
from shipjury_schemas.edge_node.v1 import LoadedModel
from shipjury_standalone.testing import wait_until

from .conftest import KEY
from .processes import environment, start


@pytest.mark.timeout(300)
async def test_a_node_that_announces_itself_serves_and_its_usage_is_published(
    make_database: Any, redis_url: str, kafka: str, simulator: str, tmp_path: Path
) -> None:
    settings = environment(
        {
            "database_url": await make_database("inference_gateway"),
            "redis_url": redis_url,
            "kafka_bootstrap_servers": kafka,
            "operator_key": "operators",
            "shipped_providers": False,
            "bootstrap_key": KEY,
            "edge_token": "alpha-secret",
        }
    )
    api, worker = await start("api", settings, tmp_path / "log"), await start("worker", settings, tmp_path / "log")
    try:
        await announce(kafka, simulator)
        body = {"model": "gpt-sim:edge", "prompt": "This is a big", "max_tokens": 1, "logprobs": 1000}
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:

            async def served() -> bool:
                async with session.post(f"{api.url}/v1/completions", json=body) as response:
                    return response.status == 200

            await wait_until(served, seconds=60)
        used = await first_usage(kafka)
        assert (used.provider, used.model, used.outcome) == ("edge-1", "gpt-sim", "ok")
        assert (used.cost_nano_usd, used.price_version) == (0, "edge/free")
    finally:
        await api.stop()
        await worker.stop()


async def announce(kafka: str, simulator: str) -> None:
    """A node's beat, as an edge runner sends it."""
    node = EdgeNode(
        aggregate_version=1,
        node_id="edge-1",
        state="ready",
        base_url=f"{simulator}/alpha",
        engine="simulated",
        memory_bytes=1,
        heartbeat_seconds=300,
        beat_at=datetime.now(UTC),
        models=(LoadedModel(model="gpt-sim", state="ready", context_tokens=2048, slots=4, max_logprobs=1000),),
    )
    message = encode(Event(data=node, source="/shipjury/edge-runner"))
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    await producer.send_and_wait("edge.nodes.v1", message.value, key=message.key, headers=list(message.headers))
    await producer.stop()


async def first_usage(kafka: str) -> InferenceUsed:
    """The first event of `inference.usage.v1`."""
    consumer = AIOKafkaConsumer("inference.usage.v1", bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        record = await consumer.getone()
        return decode(InferenceUsed, record.value, record.headers).data
    finally:
        await consumer.stop()
