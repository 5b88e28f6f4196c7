"""The ledger against the providers' own account: what tests and the long run in `bench/` hold."""

from typing import Any

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import AsyncConnection

from inference_gateway.store.admission import SHARDS, stream
from inference_gateway.store.resp import RedisPipe
from inference_gateway.store.tables import ledger
from shipjury_standalone.testing import wait_until


async def settled(redis_url: str, seconds: float = 40) -> None:
    """Wait until nothing is open and every entry is in the ledger."""
    pipe = RedisPipe(redis_url)

    async def empty() -> bool:
        waiting = sum([await pipe.call("XLEN", stream(shard)) for shard in range(SHARDS)])  # type: ignore[misc]
        keys = await pipe.call("KEYS", "sj:*:open:*")
        return waiting == 0 and keys == []

    await wait_until(empty, seconds=seconds)
    await pipe.close()


async def hold(connection: AsyncConnection, lines: dict[str, dict[str, Any]], whole: list[str]) -> dict[str, int]:
    """Hold the ledger against the providers' own account; returns the figures."""
    rows = [dict(row) for row in (await connection.execute(sa.select(ledger).order_by(ledger.c.id))).mappings()]
    effective: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["kind"] != "reversal":
            assert row["kind"] == "correction" or row["attempt_id"] not in effective, "an attempt stands twice"
            effective[row["attempt_id"]] = row
    assert not set(lines) - set(effective), "attempts are missing in the ledger"
    assert len(effective) == len({row["attempt_id"] for row in rows})
    certain = {attempt: row for attempt, row in effective.items() if row["outcome"] != "uncertain"}
    billed = {attempt: lines[attempt]["nano_usd"] if attempt in lines else 0 for attempt in certain}
    assert {attempt: row["cost_nano_usd"] for attempt, row in certain.items()} == billed
    for attempt, row in effective.items():
        if row["outcome"] == "uncertain":
            assert row["cost_nano_usd"] == row["bound_nano_usd"]
            assert row["cost_nano_usd"] >= lines.get(attempt, {"nano_usd": 0})["nano_usd"]
    ended_well = {
        row["request_id"] for row in effective.values() if row["outcome"] == "ok" or row["reason"] == "usage_missing"
    }
    assert not set(whole) - ended_well, "who saw the end of an answer may rely on its bill"
    events = await connection.scalar(sa.text("SELECT count(*) FROM outbox WHERE topic = 'inference.usage.v1'"))
    assert events == len(rows), "every row has its event, once"
    lost = sum(1 for row in effective.values() if row["reason"] == "instance_lost")
    return {
        "rows": len(rows),
        "attempts": len(effective),
        "seen_by_providers": len(lines),
        "certain": len(certain),
        "certain_nano_usd": sum(row["cost_nano_usd"] for row in certain.values()),
        "certain_providers_nano_usd": sum(billed.values()),
        "ledger_nano_usd": sum(row["cost_nano_usd"] for row in rows),
        "providers_nano_usd": sum(line["nano_usd"] for line in lines.values()),
        "uncertain": len(effective) - len(certain),
        "of_killed_gateways": lost,
        "corrections": sum(1 for row in rows if row["kind"] == "correction"),
        "hedges": sum(1 for row in rows if row["kind"] == "attempt" and "hedges" in (row["explanation"] or {})),
        "answers_seen_whole": len(whole),
    }


async def published(bootstrap: str, expected: int, seconds: float = 120) -> int:
    """How many different events of `inference.usage.v1` the broker has, once it has so many; fails where they do not
    come."""
    seen: set[bytes] = set()
    consumer = AIOKafkaConsumer(
        "inference.usage.v1", bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()

    async def all_there() -> bool:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            seen.update(dict(record.headers)["ce_id"] for record in records)
        return len(seen) >= expected

    try:
        await wait_until(all_there, seconds=seconds)
    finally:
        await consumer.stop()
    return len(seen)
