"""What operators type does what it says, and tells of it in events."""

import asyncio
import json
from collections.abc import Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner, Result

from votes.cli import commands
from votes.domain import Doubt
from votes.store.ballots import Write, write_all

from .conftest import outbox
from .test_writer import NOW

Command = Callable[..., "asyncio.Future[Result]"]


@pytest.fixture
def command(database: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``await command("held")`` as ``shipjury votes held`` runs it, with settings from the environment."""
    monkeypatch.setenv("VOTES_DATABASE_URL", database)
    monkeypatch.setenv("VOTES_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("VOTES_OPERATOR_KEY", "operators-only")
    return lambda *words: asyncio.to_thread(CliRunner().invoke, commands, list(words))


async def hold(engine: AsyncEngine, tool: str, **voters: Doubt) -> None:
    async with engine.begin() as connection:
        await write_all(connection, [Write(tool, voter, "ship", NOW, doubt=doubt) for voter, doubt in voters.items()])


async def test_held_votes_are_shown_released_and_voided(command: Command, engine: AsyncEngine, tool: str) -> None:
    await hold(engine, tool, ada=Doubt.SPEED, bob=Doubt.NETWORK, eve=Doubt.NETWORK)
    shown = (await command("held", "--for", "burst from one network")).output
    assert ("ada" in shown, "bob" in shown, "eve" in shown, "2 held" in shown) == (False, True, True, True)
    released = await command("release", "--voter", "bob", "--reason", "a class room")
    voided = await command("void", "--tool", tool, "--reason", "stuffing")
    assert (released.output, voided.output) == ("1 votes changed\n", "2 votes changed\n")
    assert "0 held" in (await command("held")).output
    told = [json.loads(row.value) for row in (await outbox(engine))[3:]]
    assert sorted((event["voter"], event["state"], event["reason"]) for event in told) == [
        ("ada", "voided", "stuffing"),
        ("bob", "counted", "a class room"),
        ("eve", "voided", "stuffing"),
    ]


async def test_an_operator_must_say_which_votes(command: Command, engine: AsyncEngine, tool: str) -> None:
    await hold(engine, tool, ada=Doubt.SPEED)
    refused = await command("release", "--reason", "all of them")
    assert refused.exit_code == 2
    assert "say which votes" in refused.output
    assert "1 held" in (await command("held")).output
