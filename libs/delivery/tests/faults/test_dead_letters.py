"""Dead letters come back through the group that they belong to, and through no other."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from typer.testing import CliRunner

from shipjury_delivery.cli import commands
from shipjury_delivery.redrive import find, redrive
from shipjury_delivery.testing import Happened, World, happened, sequence, until
from shipjury_schemas import Event, encode


class Bug:
    """A handler that fails on number two until it is mended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mended = False

    async def __call__(self, connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        if not self.mended and any(event.data.aggregate_version == 2 for event in events):
            raise RuntimeError("a bug")
        await self.world.record(connection, events)


@pytest.fixture
def bug(world: World) -> Bug:
    """The handler."""
    return Bug(world)


async def test_a_redriven_event_has_its_effect_once_the_bug_is_mended(world: World, bug: Bug) -> None:
    await world.produce(*sequence(world.contract, "a", [1, 2, 3]))
    async with world.worker(world.subscription(bug, max_attempts=1)):
        await world.until_numbers({"a": [1, 3]})
        bug.mended = True
        [sent] = await redrive(world.settings(), world.group)
        assert sent.letter.why == "failed"
        await world.until_numbers({"a": [1, 3, 2]})
    [left] = await find(world.settings(), world.group)
    assert left.redriven


async def test_redriving_twice_sends_nothing_the_second_time(world: World, bug: Bug) -> None:
    await world.produce(*sequence(world.contract, "a", [1, 2]))
    async with world.worker(world.subscription(bug, max_attempts=1)):
        await world.until_numbers({"a": [1]})
        await until(lambda: _some_dead(world))
        bug.mended = True
        assert len(await redrive(world.settings(), world.group)) == 1
        assert await redrive(world.settings(), world.group) == []
        await world.until_numbers({"a": [1, 2]})


async def test_what_dies_again_is_a_new_dead_letter_that_counts_all_its_tries(world: World, bug: Bug) -> None:
    await world.produce(*sequence(world.contract, "a", [1, 2]))
    async with world.worker(world.subscription(bug, max_attempts=2)):
        await world.until_numbers({"a": [1]})
        await until(lambda: _some_dead(world))
        [first] = await _outstanding(world)
        await redrive(world.settings(), world.group)
        await until(lambda: _new_one(world, first.place))
        [second] = await _outstanding(world)
    assert second.place != first.place
    assert (first.letter.attempts, second.letter.attempts) == (2, 4)
    assert second.letter.origin == first.letter.origin
    assert second.letter.headers == first.letter.headers


async def test_no_other_group_sees_a_redriven_event_again(world: World, bug: Bug) -> None:
    other = replace(world, group=f"{world.group}.other")
    seen: list[int] = []

    async def count(_: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        seen.extend(event.data.aggregate_version for event in events)

    await world.produce(*sequence(world.contract, "a", [1, 2]))
    async with world.worker(world.subscription(bug, max_attempts=1), other.subscription(count)):
        await world.until_numbers({"a": [1]})
        await until(lambda: _some_dead(world))
        bug.mended = True
        await redrive(world.settings(), world.group)
        await world.until_numbers({"a": [1, 2]})
        await world.produce(happened(world.contract, "a", 3))
        await world.until_numbers({"a": [1, 2, 3]})
        await until(lambda: _true(3 in seen))
    assert seen == [1, 2, 3]
    assert len(await world.records(world.topic, 3)) == 3  # nothing was published again


async def test_a_message_without_key_and_value_dies_and_is_found_as_it_came(world: World) -> None:
    await world.send((b"", None, [("odd", b"\xff\xfe")]))
    async with world.worker(world.subscription()):
        await until(lambda: _some_dead(world))
    [found] = await find(world.settings(), world.group)
    assert found.letter.value is None
    assert list(found.letter.headers) == [("odd", b"\xff\xfe")]


async def test_the_command_lists_dead_letters_and_sends_them_back(world: World, bug: Bug) -> None:
    await world.send((b"a", b"no event", encode(happened(world.contract, "a", 1)).headers))
    async with world.worker(world.subscription()):
        await until(lambda: _some_dead(world))
    listed = await _command("dead", world.group, "--bootstrap", world.kafka)
    assert f"{world.group} {world.topic}/" in listed
    assert "malformed, 1 try" in listed
    assert "1 sent back" in await _command("redrive", world.group, "--bootstrap", world.kafka)
    assert "no dead letters" in await _command("dead", world.group, "--bootstrap", world.kafka)
    assert '"redriven": true' in await _command("dead", world.group, "--all", "--json", "--bootstrap", world.kafka)


async def test_the_command_tails_a_topic_one_event_a_line(world: World) -> None:
    await world.produce(*sequence(world.contract, "ab", [1, 2]))
    tailed = await _command("tail", world.topic, "--from-beginning", "-n", "4", "--bootstrap", world.kafka)
    assert len(tailed.splitlines()) == 4
    as_json = await _command("tail", world.topic, "--from-beginning", "-n", "1", "--json", "--bootstrap", world.kafka)
    assert f'"topic": "{world.topic}"' in as_json


def test_the_command_says_where_it_looked_for_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHIPJURY_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    result = CliRunner().invoke(commands, ["dead"])
    assert result.exit_code == 2
    assert "--bootstrap" in result.output


async def _command(*arguments: str) -> str:
    import asyncio

    result = await asyncio.to_thread(CliRunner().invoke, commands, arguments)  # it has a loop of its own
    assert result.exit_code == 0, result.output
    return result.output


async def _outstanding(world: World):  # type: ignore[no-untyped-def]
    return [one for one in await find(world.settings(), world.group) if not one.redriven]


async def _new_one(world: World, place: str) -> bool:
    return any(one.place != place for one in await _outstanding(world))


async def _some_dead(world: World) -> bool:
    return bool(await find(world.settings(), world.group))


async def _true(value: bool) -> bool:
    return value
