"""Print every new verdict: a subscriber of your own, in twenty lines. Needs `shipjury-schemas` and `aiokafka`."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer

from shipjury_schemas import VerdictIssued, decode


async def main(bootstrap_servers: str) -> None:
    consumer = AIOKafkaConsumer(
        VerdictIssued.topic.name,
        bootstrap_servers=bootstrap_servers,
        group_id="my-team.verdicts",
        auto_offset_reset="earliest",
    )
    async with consumer:
        async for record in consumer:
            verdict = decode(VerdictIssued, record.value, record.headers).data
            print(f"{verdict.tool_name}: {verdict.verdict} ({verdict.score}), {verdict.level}", flush=True)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9092"))
