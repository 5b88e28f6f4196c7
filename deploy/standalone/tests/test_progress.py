"""How far the panel is, told from real events on a real log."""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shipjury_schemas import Contract, ToolPublished, VerdictIssued, encode
from shipjury_schemas.testing import event, tool_published, verdict_issued
from shipjury_standalone.progress import watch_panel

Until = Callable[[Callable[[], object]], Awaitable[None]]


async def test_tools_and_their_verdicts_are_counted_until_the_newest_version_of_each_is_judged(
    kafka: str, until: Until
) -> None:
    told: list[tuple[int, int]] = []
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(one.topic.name, 2, 1) for one in (ToolPublished, VerdictIssued)])
    finally:
        await admin.close()
    watching = asyncio.create_task(watch_panel(kafka, 2, lambda done, of, _: told.append((done, of)), asyncio.Event()))
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await say(
            producer,
            tool_published(tool_id="a", aggregate_version=1),
            tool_published(tool_id="b", aggregate_version=1),
            tool_published(tool_id="b", aggregate_version=2),
            tool_published(tool_id="c", aggregate_version=1, status="retired"),
        )
        await until(lambda: told == [(0, 2)])
        await say(producer, verdict_issued(tool_id="a", tool_version=1))
        await until(lambda: told[-1] == (1, 2))
        await producer.send_and_wait(VerdictIssued.topic.name, b"no event", key=b"b")
        await say(producer, verdict_issued(tool_id="b", tool_version=1))
        await asyncio.sleep(1)
        assert not watching.done(), "the verdict is on an older version of the tool"
        await say(producer, verdict_issued(tool_id="b", tool_version=2))
        await asyncio.wait_for(watching, 20)
    assert told[-1] == (2, 2)


async def say(producer: AIOKafkaProducer, *contracts: Contract) -> None:
    for contract in contracts:
        message = encode(event(contract))
        await producer.send_and_wait(contract.topic.name, message.value, key=message.key, headers=list(message.headers))
