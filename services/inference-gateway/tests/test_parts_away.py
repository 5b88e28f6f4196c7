"""Postgres away: requests go on, and the ledger catches up."""

from pathlib import Path
from typing import Any

import asyncpg

from inference_gateway.ledger_worker import keep_ledger
from inference_gateway.store.admission import Streams
from shipjury_delivery.migrations import upgrade
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.testing import wait_until


async def test_without_postgres_requests_go_on_and_the_ledger_catches_up(start: Any, tmp_path: Path) -> None:
    import asyncio

    postgres = Postgres(tmp_path / "postgres", durable=False)
    await asyncio.to_thread(postgres.start)
    admin = await asyncpg.connect(postgres.dsn())
    await admin.execute("CREATE DATABASE gateway")
    await admin.close()
    await upgrade("inference_gateway", postgres.url("gateway"))
    gateway = await start(database_url=postgres.url("gateway"))
    stop = asyncio.Event()
    streams = Streams(gateway.pipe)
    worker = asyncio.create_task(keep_ledger(streams, gateway.engine, stop))
    try:
        assert (await gateway.chat())[0] == 200
        await asyncio.to_thread(postgres.stop)
        statuses = [(await gateway.chat(stream=bool(number % 2)))[0] for number in range(10)]
        assert statuses == [200] * 10
        assert await streams.length() >= 10
        await asyncio.to_thread(postgres.start)

        async def caught_up() -> bool:
            return await streams.length() == 0

        await wait_until(caught_up, seconds=30)
        rows = await gateway.ledger()
        assert len(rows) == 11
        assert sum(row["cost_nano_usd"] for row in rows) == sum(line["nano_usd"] for line in await gateway.account())
    finally:
        stop.set()
        await worker
        await asyncio.to_thread(postgres.stop)
