"""Consuming under faults: nothing lost, nothing doubled in effect, order kept per key."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import Permanent, dead_letters, subscriber
from shipjury_delivery.testing import Happened, World, happened, sequence, until
from shipjury_schemas import Event, Message, encode


def _headers(message: Message, **changes: bytes | None) -> list[tuple[str, bytes]]:
    headers = dict(message.headers) | changes
    return [(name, value) for name, value in headers.items() if value is not None]


async def _dead(world: World, count: int = 1) -> list[dead_letters.DeadLetter]:
    records = await world.records(world.dead_letters, count)
    letters = [dead_letters.read(record.key, record.value, record.headers) for record in records]
    return [letter for letter in letters if letter is not None]


async def test_events_have_their_effect_once_and_in_order(world: World) -> None:
    await world.produce(*sequence(world.contract, "abc", range(1, 401)))
    async with world.worker(world.subscription()):
        await world.until_numbers({key: range(1, 401) for key in "abc"})


async def test_a_group_reads_what_was_there_before_it(world: World) -> None:
    await world.produce(happened(world.contract, "a", 1))
    async with world.worker(world.subscription()):
        await world.until_numbers({"a": [1]})


async def test_a_duplicate_within_a_batch_counts_once(world: World) -> None:
    one = happened(world.contract, "a", 1)
    await world.produce(one, one, happened(world.contract, "a", 2), one)
    async with world.worker(world.subscription()):
        await world.until_numbers({"a": [1, 2]})


async def test_a_duplicate_in_a_later_batch_counts_once(world: World) -> None:
    one = happened(world.contract, "a", 1)
    async with world.worker(world.subscription()):
        await world.produce(one)
        await world.until_numbers({"a": [1]})
        await world.produce(one, happened(world.contract, "a", 2))
        await world.until_numbers({"a": [1, 2]})


async def test_two_groups_each_have_the_effect(world: World) -> None:
    other = replace(world, group=f"{world.group}.other")
    await world.produce(happened(world.contract, "a", 1))
    async with world.worker(world.subscription(), other.subscription()):
        await world.until_numbers({"a": [1, 1]})


async def test_a_poison_message_goes_to_the_dead_letters_as_it_came(world: World) -> None:
    poison = (b"a", b"\xff\x00 not json", encode(happened(world.contract, "a", 2)).headers)
    await world.send(encode(happened(world.contract, "a", 1)), poison, encode(happened(world.contract, "a", 3)))
    async with world.worker(world.subscription()):
        await world.until_numbers({"a": [1, 3]})
        [letter] = await _dead(world)
    assert (letter.key, letter.value, tuple(letter.headers)) == poison
    assert (letter.why, letter.group, letter.attempts) == ("malformed", world.group, 1)
    assert letter.origin.startswith(f"{world.topic}/")
    assert "json" in letter.error.lower()


async def test_a_null_value_goes_to_the_dead_letters_as_null(world: World) -> None:
    message = encode(happened(world.contract, "a", 1))
    await world.send((b"a", None, message.headers), encode(happened(world.contract, "a", 2)))
    async with world.worker(world.subscription()):
        await world.until_numbers({"a": [2]})
        [letter] = await _dead(world)
    assert (letter.key, letter.value) == (b"a", None)
    assert "tombstone" in letter.error


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ce_type": b"shipjury.something.else"}, "ce_type"),
        ({"ce_id": None}, "ce_id is missing"),
        ({"ce_type": None}, "ce_type is missing"),
        ({"ce_specversion": b"0.3"}, "ce_specversion"),
        ({"ce_source": b"\xff\xfe"}, "not UTF-8"),
        ({"ce_id": b"x" * 3000}, "ce_id is longer"),
        ({"ce_id": b"x\x00y"}, "NUL"),
    ],
)
async def test_a_message_that_is_no_event_says_why_and_holds_up_nobody(
    world: World, changes: dict[str, bytes | None], said: str
) -> None:
    message = encode(happened(world.contract, "a", 1))
    await world.send(
        (message.key, message.value, _headers(message, **changes)), encode(happened(world.contract, "a", 2))
    )
    async with world.worker(world.subscription()):
        await world.until_numbers({"a": [2]})
        [letter] = await _dead(world)
    assert said in letter.error


async def test_a_newer_minor_version_with_unknown_fields_is_accepted(world: World) -> None:
    message = encode(happened(world.contract, "a", 1))
    newer = message.value.replace(b"{", b'{"not_known_yet": [1, 2], ', 1)
    headers = _headers(message, ce_dataschema=f"urn:shipjury:{world.topic}.7".encode())
    await world.send((message.key, newer, headers))
    async with world.worker(world.subscription()):
        await world.until_numbers({"a": [1]})


async def test_an_event_that_can_never_be_applied_dies_alone_and_at_once(world: World) -> None:
    tried: list[int] = []

    async def handle(connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        await world.record(connection, events)
        if any(event.data.aggregate_version == 2 for event in events):
            tried.append(len(events))
            raise Permanent("two is never right")

    await world.produce(*sequence(world.contract, "a", range(1, 6)))
    async with world.worker(world.subscription(handle)):
        await world.until_numbers({"a": [1, 3, 4, 5]})
        [letter] = await _dead(world)
    assert (letter.why, letter.attempts) == ("permanent", 1)
    assert "two is never right" in letter.error
    assert len(tried) <= 2  # once in the batch, once alone


async def test_a_handler_that_keeps_failing_gets_a_few_tries_then_the_event_dies(world: World) -> None:
    tries: list[int] = []

    async def handle(connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        if any(event.data.aggregate_version == 1 for event in events):
            tries.append(1)
            raise RuntimeError("a bug")
        await world.record(connection, events)

    await world.produce(*sequence(world.contract, "a", [1, 2]))
    async with world.worker(world.subscription(handle, max_attempts=3)):
        await world.until_numbers({"a": [2]})
        [letter] = await _dead(world)
    assert (letter.why, letter.attempts) == ("failed", 3)
    assert 3 <= len(tries) <= 4


async def test_a_fault_of_the_data_is_not_taken_for_an_outage(world: World) -> None:
    async def handle(connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        if any(event.data.aggregate_version == 1 for event in events):
            wrong = sa.text("INSERT INTO ledger (who, key, number) VALUES ('x', 'x', :number)")
            await connection.execute(wrong, {"number": "connection is closed"})  # the driver quotes it in its error
        await world.record(connection, events)

    await world.produce(*sequence(world.contract, "a", [1, 2]))
    async with world.worker(world.subscription(handle, max_attempts=2)):
        await world.until_numbers({"a": [2]})
        [letter] = await _dead(world)
    assert letter.why == "failed"
    assert "connection is closed" in letter.error


async def test_a_handler_that_fails_for_a_while_loses_nothing(world: World) -> None:
    failures = iter([RuntimeError("once"), RuntimeError("twice")])

    async def handle(connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        for failure in failures:
            raise failure
        await world.record(connection, events)

    await world.produce(*sequence(world.contract, "ab", range(1, 6)))
    async with world.worker(world.subscription(handle)):
        await world.until_numbers({key: range(1, 6) for key in "ab"})


async def test_past_the_limit_of_dead_letters_a_subscriber_waits_instead(world: World) -> None:
    broken = asyncio.Event()
    broken.set()

    async def handle(connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        if broken.is_set():
            raise RuntimeError("a bad deployment")
        await world.record(connection, events)

    held = subscriber_metric(world.group)
    await world.produce(*sequence(world.contract, "a", range(1, 11)))
    async with world.worker(world.subscription(handle, max_attempts=1), dead_letter_limit=2):
        await until(lambda: _is(held() == 1))
        broken.clear()
        await world.until_numbers({"a": range(3, 11)})
        assert held() == 0
    assert len(await _dead(world, 2)) == 2


async def test_a_rebalance_in_the_middle_of_a_batch_does_no_harm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # as if the batch took longer than a rebalance waits: the other member gets the same records
    monkeypatch.setattr(subscriber, "_REVOKE_SECONDS", 0.2)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        await world.record(connection, events)
        begun.set()
        await go_on.wait()

    await world.produce(*sequence(world.contract, "abcdef", range(1, 51)))
    async with world.worker(world.subscription(slow)) as first:
        await asyncio.wait_for(begun.wait(), 20)
        async with world.worker(world.subscription()) as second:
            await until(lambda: _ready(second))
            go_on.set()
            await world.until_numbers({key: range(1, 51) for key in "abcdef"})
            await world.produce(*sequence(world.contract, "abcdef", range(51, 101)))
            await world.until_numbers({key: range(1, 101) for key in "abcdef"})
        await _ready(first)


async def test_members_that_come_and_go_under_load_do_no_harm(world: World) -> None:
    keys = [f"key-{number}" for number in range(12)]

    async def produce() -> None:
        for start in range(1, 101, 10):
            await world.produce(*sequence(world.contract, keys, range(start, start + 10)))

    async with world.worker(world.subscription()):
        producing = asyncio.create_task(produce())
        for _ in range(3):
            async with world.worker(world.subscription(), consume_batch=20) as passing:
                await until(lambda passing=passing: _ready(passing))  # type: ignore[misc]
        await producing
        await world.until_numbers({key: range(1, 101) for key in keys}, seconds=60)


async def test_a_slow_handler_is_cut_off_and_its_event_dies(world: World) -> None:
    async def handle(connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        if any(event.data.aggregate_version == 1 for event in events):
            await asyncio.Event().wait()
        await world.record(connection, events)

    brief = timedelta(seconds=0.3)
    await world.produce(*sequence(world.contract, "a", [1, 2]))
    async with world.worker(world.subscription(handle, max_attempts=2, timeout=brief)):
        await world.until_numbers({"a": [2]})
        [letter] = await _dead(world)
    assert letter.why == "failed"
    assert "HandlerTooSlow" in letter.error


async def test_a_worker_that_stops_leaves_nothing_half_done(world: World) -> None:
    await world.produce(*sequence(world.contract, "abc", range(1, 301)))
    for done in (0, 10, 20):
        async with world.worker(world.subscription(), consume_batch=10):
            await until(lambda done=done: _more_than(world, done))  # type: ignore[misc]
    async with world.worker(world.subscription()):
        await world.until_numbers({key: range(1, 301) for key in "abc"})


async def test_inbox_rows_commit_with_the_effects(world: World) -> None:
    await world.produce(*sequence(world.contract, "a", range(1, 4)))
    async with world.worker(world.subscription()):
        await world.until_numbers({"a": [1, 2, 3]})
    assert await world.scalar("SELECT count(*) FROM inbox WHERE group_name = :group", group=world.group) == 3


def subscriber_metric(group: str):  # type: ignore[no-untyped-def]
    """Reads whether a subscriber is held."""
    from shipjury_delivery.metrics import HELD

    return lambda: HELD.labels(group)._value.get()


async def _is(value: bool) -> bool:
    return value


async def _ready(working: object) -> bool:
    from shipjury_delivery.health import not_ready

    return not await not_ready(working.checks())  # type: ignore[attr-defined]


async def _more_than(world: World, lines: int) -> bool:
    return await world.scalar("SELECT count(*) FROM ledger") > lines  # type: ignore[no-any-return]
