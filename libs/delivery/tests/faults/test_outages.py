"""Broker and database away, restarted, killed beside: afterwards everything is there, once, in order."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from shipjury_delivery.health import not_ready
from shipjury_delivery.metrics import RETRIES
from shipjury_delivery.testing import BrokerControl, Gate, World, happened, sequence, until

KEYS = "abcd"

KILLED_AFTER_ITS_COMMIT = """
import asyncio, os, signal, sys
from shipjury_delivery import subscriber
from shipjury_delivery.testing import from_arguments

async def commit(self, records, generation):
    os.kill(os.getpid(), signal.SIGKILL)

subscriber.Subscriber._commit = commit

async def main():
    world = from_arguments(sys.argv[1])
    async with world.worker(world.subscription(), consume_batch=10):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_handler_killed_after_its_commit_repeats_no_effect(world: World) -> None:
    await world.produce(*sequence(world.contract, KEYS, range(1, 26)))
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED_AFTER_ITS_COMMIT, world.as_arguments())
    assert await asyncio.wait_for(killed.wait(), 60) == -signal.SIGKILL
    assert 0 < await world.scalar("SELECT count(*) FROM ledger") <= 10
    async with world.worker(world.subscription()):
        await world.until_numbers({key: range(1, 26) for key in KEYS})


@pytest.mark.parametrize("seconds", [20])
async def test_a_broker_that_is_away_delays_and_loses_nothing(
    world: World, broker_control: BrokerControl, seconds: int
) -> None:
    async with world.worker(world.subscription(), relay=True):
        await _publish(world, range(1, 11))
        await world.until_numbers({key: range(1, 11) for key in KEYS})
        broker_control.stop()
        publishing = asyncio.create_task(_for_a_while(lambda numbers: _publish(world, numbers), 11, seconds))
        last = await publishing
        broker_control.start()
        await world.until_numbers({key: range(1, last + 1) for key in KEYS}, seconds=60)
        await _publish(world, [last + 1])
        await world.until_numbers({key: range(1, last + 2) for key in KEYS})


async def test_a_broker_that_restarts_under_load_loses_nothing(world: World, broker_control: BrokerControl) -> None:
    async with world.worker(world.subscription(), relay=True, outbox_batch=20, consume_batch=20):
        for round_ in range(3):
            await _publish(world, range(round_ * 50 + 1, round_ * 50 + 51))
            broker_control.stop()
            broker_control.start()
        await world.until_numbers({key: range(1, 151) for key in KEYS}, seconds=60)


async def test_a_worker_starts_before_its_broker(world: World, broker_control: BrokerControl) -> None:
    broker_control.stop()
    async with world.worker(world.subscription(), relay=True) as working:
        await _publish(world, [1])
        assert await not_ready(working.checks())
        broker_control.start()
        await world.until_numbers({key: [1] for key in KEYS}, seconds=60)
        await until(lambda: _ready(working))


async def test_a_worker_stops_in_order_while_the_broker_is_away(world: World, broker_control: BrokerControl) -> None:
    async with world.worker(world.subscription(), relay=True):
        await _publish(world, [1])
        await world.until_numbers({key: [1] for key in KEYS})
        broker_control.stop()
        await _publish(world, [2])
    broker_control.start()
    async with world.worker(world.subscription(), relay=True):
        await world.until_numbers({key: [1, 2] for key in KEYS}, seconds=60)


async def test_a_database_that_is_away_delays_and_loses_nothing(world: World, gate: Gate) -> None:
    engine = create_async_engine(gate.url)
    try:
        async with world.worker(world.subscription(), relay=True, engine=engine, consume_batch=20) as working:
            await _publish(world, range(1, 11))
            await world.until_numbers({key: range(1, 11) for key in KEYS})
            for start in (11, 111, 211):
                publishing = asyncio.create_task(_publish(world, range(start, start + 100)))
                await gate.shut()
                await publishing
                await world.produce(happened(world.contract, f"past-{start}", 1))
                await until(lambda: _not_ready(working))
                await gate.open()
            expected = {key: range(1, 311) for key in KEYS} | {f"past-{start}": [1] for start in (11, 111, 211)}
            await world.until_numbers(expected, seconds=60)
    finally:
        await engine.dispose()


async def test_a_database_that_restarts_under_load_loses_nothing(world: World) -> None:
    engine = create_async_engine(world.database_url, connect_args={"server_settings": {"application_name": "victim"}})
    admin = create_async_engine(world.database_url)
    try:
        async with world.worker(world.subscription(), relay=True, engine=engine, consume_batch=20):
            for start in range(1, 201, 50):
                await _publish(world, range(start, start + 50))
                async with admin.connect() as connection:  # what clients see of a restart: 57P01, connections gone
                    await connection.execute(
                        sa.text(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        )
                    )
            await world.until_numbers({key: range(1, 201) for key in KEYS}, seconds=60)
    finally:
        await admin.dispose()
        await engine.dispose()


async def test_who_waits_for_its_database_gives_up_what_a_rebalance_takes(world: World, gate: Gate) -> None:
    engine = create_async_engine(gate.url)
    keys = [f"key-{number}" for number in range(20)]
    try:
        async with world.worker(world.subscription(), engine=engine) as waiting:
            await until(lambda: _ready(waiting))
            await gate.shut()
            await world.produce(*sequence(world.contract, keys, range(1, 21)))
            async with world.worker(world.subscription()):  # its database is there
                await until(lambda: world.scalar("SELECT count(*) FROM ledger"))
                await gate.open()
                await world.produce(*sequence(world.contract, keys, range(21, 41)))
                await world.until_numbers({key: range(1, 41) for key in keys}, seconds=60)
    finally:
        await engine.dispose()


async def test_a_long_outage_of_the_database_costs_no_membership(world: World, gate: Gate) -> None:
    """Heartbeats go on while a subscriber waits: the group keeps its member, nothing is joined again."""
    engine = create_async_engine(gate.url)
    try:
        async with world.worker(world.subscription(), engine=engine) as working:
            await world.produce(happened(world.contract, "a", 1))
            await world.until_numbers({"a": [1]})
            [one] = working.subscribers
            joined = one.joined
            await gate.shut()
            await world.produce(happened(world.contract, "a", 2))
            tries = RETRIES.labels(world.group, "away")._value
            await until(lambda: _at_least(tries.get(), 6), 60)  # nine seconds or more; a session lasts six
            await gate.open()
            await world.until_numbers({"a": [1, 2]})
            assert one.joined == joined
    finally:
        await engine.dispose()


async def _publish(world: World, numbers: object) -> None:
    for number in numbers:  # type: ignore[attr-defined]
        while True:
            try:
                await world.publish(*sequence(world.contract, KEYS, [number]))
                break
            except (sa.exc.DBAPIError, OSError):  # what a service does: its caller tries again
                await asyncio.sleep(0.1)


async def _for_a_while(publish: Callable[[list[int]], Awaitable[None]], first: int, seconds: float) -> int:
    """Publish a number every now and then. Returns the last one."""
    loop = asyncio.get_running_loop()
    ends, number = loop.time() + seconds, first
    while loop.time() < ends:
        await publish([number])
        number += 1
        await asyncio.sleep(0.2)
    return number - 1


async def _at_least(value: float, least: float) -> bool:
    return value >= least


async def _ready(working: object) -> bool:
    return not await not_ready(working.checks())  # type: ignore[attr-defined]


async def _not_ready(working: object) -> bool:
    return bool(await not_ready(working.checks()))  # type: ignore[attr-defined]
