"""The command line of votes: what containers run, and what operators type (``shipjury votes ...``)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery import service_cli
from shipjury_delivery.database import create_engine

from .app import api, worker
from .domain import Ballot, release, void
from .settings import Settings
from .store import quarantine
from .store.quarantine import Selection
from .store.recount import recount_all

T = TypeVar("T")

commands = typer.Typer(no_args_is_help=True, help="Held votes, and recounting.")

Tool = Annotated[str | None, typer.Option(help="Id of the tool.")]
Voter = Annotated[str | None, typer.Option(help="Pseudonym of the voter, as `held` shows it.")]
For = Annotated[str | None, typer.Option("--for", help="Reason that they are held for, as `held` shows it.")]
Network = Annotated[str | None, typer.Option(help="Hash of the network, as `held` shows it.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is published in the log.", prompt=True)]


@commands.command()
def held(
    tool: Tool = None,
    for_: For = None,
    network: Network = None,
    limit: Annotated[int, typer.Option(min=1, help="Most votes to show.")] = 100,
) -> None:
    """Show votes in quarantine."""

    async def show(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            found = await quarantine.held(connection, Selection(tool, None, for_, network), limit=limit)
        for one in found:
            tool_id, voter = one.key
            typer.echo(
                f"{tool_id}  {one.slug or '-':30}  {voter}  {one.ballot.vote:4}  {one.cast_at:%Y-%m-%d %H:%M}  "
                f"{one.network or '-'}  {one.ballot.reason}"
            )
        typer.echo(f"{len(found)} held" + (", perhaps more" if len(found) == limit else ""))

    _run(show)


@commands.command("release")
def release_(why: Why, tool: Tool = None, voter: Voter = None, for_: For = None, network: Network = None) -> None:
    """Let held votes count. Each is told in an event."""
    _decide(release, Selection(tool, voter, for_, network), why)


@commands.command("void")
def void_(why: Why, tool: Tool = None, voter: Voter = None, for_: For = None, network: Network = None) -> None:
    """Let held votes never count. Each is told in an event."""
    _decide(void, Selection(tool, voter, for_, network), why)


@commands.command()
def recount() -> None:
    """Rebuild every tally from its log and compare; exit code 1 where one does not agree."""

    async def compare(engine: AsyncEngine) -> tuple[int, int]:
        tools, wrong = 0, 0
        async for one in recount_all(engine):
            tools += 1
            wrong += one.problem is not None
            tally = one.head.tally
            typer.echo(
                f"{one.tool_id}  {one.length:8} entries  ship {tally.ship}  skip {tally.skip}  held {tally.held}  "
                + (f"WRONG: {one.problem}" if one.problem else "agrees")
            )
        return tools, wrong

    tools, wrong = _run(compare)
    typer.echo(f"{tools} tools recounted, {wrong} wrong")
    if wrong:
        raise typer.Exit(1)


def _decide(act: Callable[[Ballot, str], Ballot], selection: Selection, why: str) -> None:
    if selection == Selection():
        raise typer.BadParameter("say which votes: --tool, --voter, --for or --network")
    count = _run(lambda engine: quarantine.decide(engine, selection, act, why, datetime.now(UTC)))
    typer.echo(f"{count} votes changed")


def _run(work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def main() -> T:
        engine = create_engine(Settings())
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(main())


cli = service_cli("votes", Settings, api, worker)
for _command in commands.registered_commands:
    cli.registered_commands.append(_command)
