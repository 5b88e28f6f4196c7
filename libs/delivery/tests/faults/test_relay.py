"""The relay under faults: every committed event is sent, in order per key, whatever dies or is away."""

import asyncio
import signal
import sys

import pytest
import sqlalchemy as sa

from shipjury_delivery import parked, publish, relay
from shipjury_delivery.maintenance import prune
from shipjury_delivery.tables import outbox
from shipjury_delivery.testing import World, happened, sequence, until
from shipjury_delivery.topics import ensure_topics
from shipjury_schemas import EventTooLarge

KILLED_BEFORE_IT_MARKS = """
import asyncio, os, signal, sys
from shipjury_delivery import relay
from shipjury_delivery.testing import from_arguments

async def mark(self, connection, batch, sent):
    assert len(sent.ids) == len(batch) > 0, sent
    os.kill(os.getpid(), signal.SIGKILL)

relay.Relay._mark = mark

async def main():
    async with from_arguments(sys.argv[1]).worker(relay=True):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_published_event_arrives_with_its_trace(world: World) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = happened(world.contract, "a", 1)
    await ensure_topics(world.settings(), [], [world.contract.topic])
    async with world.worker(relay=True):
        await world.publish(type(event)(event.data, event.source, event.id, event.time, trace))
        [record] = await world.records(world.topic, 1)
    headers = dict(record.headers)
    assert (record.key, headers["ce_id"]) == (b"a", event.id.encode())
    assert headers["traceparent"] == trace.encode()


async def test_what_is_rolled_back_is_never_sent(world: World) -> None:
    async with world.engine.connect() as connection:
        await publish(connection, happened(world.contract, "a", 1))
        await connection.rollback()
    async with world.worker(world.subscription(), relay=True):
        await world.publish(happened(world.contract, "a", 2))
        await world.until_numbers({"a": [2]})


async def test_an_event_over_the_size_limit_is_refused_where_it_is_written(world: World) -> None:
    too_large = happened(world.contract, "a", 1, text="x" * 600_000)
    with pytest.raises(EventTooLarge, match="at most"):
        await world.publish(happened(world.contract, "a", 2), too_large)
    assert await world.scalar("SELECT count(*) FROM outbox") == 0


async def test_order_is_kept_per_key_through_outbox_and_topic(world: World) -> None:
    async with world.worker(world.subscription(), relay=True, outbox_batch=50):
        for start in range(1, 201, 20):
            await world.publish(*sequence(world.contract, "abc", range(start, start + 20)))
        await world.until_numbers({key: range(1, 201) for key in "abc"})


async def test_a_transaction_that_commits_late_is_not_skipped(world: World) -> None:
    async with world.worker(world.subscription(), relay=True), world.engine.connect() as late:
        await publish(late, happened(world.contract, "late", 1))
        await world.publish(happened(world.contract, "early", 1))  # a higher id, committed first
        await world.until_numbers({"early": [1]})
        await late.commit()
        await world.until_numbers({"early": [1], "late": [1]})


async def test_one_relay_sends_at_a_time_and_another_takes_over(world: World) -> None:
    numbers = range(1, 101)
    await ensure_topics(world.settings(), [], [world.contract.topic])
    async with world.worker(relay=True) as second:
        async with world.worker(relay=True):
            await world.publish(*sequence(world.contract, "ab", numbers))
            await world.records(world.topic, 200)
            await until(lambda: _all_sent(world))
        await world.publish(happened(world.contract, "c", 1))
        records = await world.records(world.topic, 201)
        await second.checks()["relay"]()
    assert len(records) == 201
    assert len({dict(record.headers)["ce_id"] for record in records}) == 201


async def test_a_relay_killed_between_send_and_mark_doubles_no_effect(world: World) -> None:
    await ensure_topics(world.settings(), [], [world.contract.topic])
    await world.publish(*sequence(world.contract, "ab", range(1, 26)))
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED_BEFORE_IT_MARKS, world.as_arguments())
    assert await asyncio.wait_for(killed.wait(), 60) == -signal.SIGKILL
    assert await world.scalar("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL") == 0
    assert len(await world.records(world.topic, 50)) == 50  # it did send them
    async with world.worker(world.subscription(), relay=True):
        await until(lambda: _all_sent(world))
        assert len(await world.records(world.topic, 100)) == 100  # and they were sent again
        await world.publish(*sequence(world.contract, "ab", [26]))
        await world.until_numbers({key: range(1, 27) for key in "ab"})


async def test_a_row_that_the_broker_refuses_holds_up_only_its_own_key(world: World) -> None:
    await world.publish(happened(world.contract, "a", 1))
    async with world.engine.begin() as connection:  # past publish, which would refuse it
        await connection.execute(
            sa.insert(outbox).values(
                topic=world.topic, key="a", event_id="too-large", value=b"x" * 1_500_000, headers=[]
            )
        )
    await world.publish(*sequence(world.contract, "ab", [2, 3]))
    async with world.worker(world.subscription(), relay=True):
        await world.until_numbers({"a": [1], "b": [2, 3]})
        await until(lambda: world.scalar("SELECT count(parked_at) FROM outbox"))
        async with world.engine.begin() as connection:
            [row] = await parked.parked(connection)
            assert (row.event_id, row.waiting) == ("too-large", 2)
            assert "MessageSizeTooLarge" in row.error
            assert await parked.discard(connection, row.id)
        await world.until_numbers({"a": [1, 2, 3], "b": [2, 3]})


async def test_a_parked_row_that_is_released_is_tried_again(world: World) -> None:
    await world.publish(happened(world.contract, "a", 1))
    async with world.engine.begin() as connection:
        await connection.execute(sa.update(outbox).values(parked_at=sa.func.now(), error="was refused"))
        [row] = await parked.parked(connection)
    async with world.worker(world.subscription(), relay=True):
        async with world.engine.begin() as connection:
            assert await parked.release(connection, row.id)
            assert not await parked.release(connection, row.id + 1)
        await world.until_numbers({"a": [1]})


async def test_a_topic_that_is_missing_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_HELD_SECONDS", 0.5)
    async with world.engine.begin() as connection:
        await connection.execute(
            sa.insert(outbox).values(topic=f"{world.topic}.missing", key="a", event_id="1", value=b"1", headers=[])
        )
    async with world.worker(world.subscription(), relay=True):
        await world.publish(happened(world.contract, "a", 1))
        await world.until_numbers({"a": [1]})  # it may be here before the relay has marked it as sent
        await until(lambda: world.scalar("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL"))
        assert await world.scalar("SELECT count(*) FROM outbox WHERE sent_at IS NULL AND parked_at IS NULL") == 1


async def test_sent_rows_are_kept_for_a_while_then_pruned(world: World) -> None:
    await world.publish(*sequence(world.contract, "a", [1, 2, 3]))
    async with world.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE outbox SET sent_at = now() - interval '8 days' WHERE id = 1"))
        await connection.execute(sa.text("UPDATE outbox SET sent_at = now() - interval '6 days' WHERE id = 2"))
        await connection.execute(
            sa.text("INSERT INTO inbox VALUES ('g', 'old', now() - interval '31 days'), ('g', 'young', now())")
        )
    assert await prune(world.engine, world.settings()) == {"outbox": 1, "inbox": 1, "jobs": 0}
    assert await world.scalar("SELECT array_agg(id ORDER BY id) FROM outbox") == [2, 3]
    assert await world.scalar("SELECT ce_id FROM inbox") == "young"


async def _all_sent(world: World) -> bool:
    return await world.scalar("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0  # type: ignore[no-any-return]
