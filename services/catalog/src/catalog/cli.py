"""Operators' commands: publish tools, bring in the starter catalog, retire, list."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery import service_cli
from shipjury_delivery.database import create_engine

from . import domain, publishing, toolfile
from .app import api, worker
from .settings import Settings
from .store import tools

commands = typer.Typer(no_args_is_help=True, help="Publish tools and look at the catalog.")


@commands.command("publish")
def publish(
    path: Annotated[Path, typer.Argument(help="A tool file, or a folder of them.", metavar="FILE|FOLDER")],
) -> None:
    """Publish one tool or a folder of them. Publishing the same content again changes nothing."""
    try:
        drafts = publishing.read_all(publishing.files_of(path))
    except (toolfile.BadToolFile, domain.SlugClash, publishing.NothingToPublish) as error:
        raise _refused(error) from error
    _run(lambda engine: _report(publishing.publish_drafts(engine, drafts, origin="file", now=datetime.now(UTC))))


@commands.command("import")
def import_starter() -> None:
    """Bring in the starter catalog. Tools that somebody else has changed or retired stay as they are."""
    _run(lambda engine: _report(publishing.import_starter(engine, now=datetime.now(UTC))))


@commands.command("retire")
def retire(
    slug: Annotated[str, typer.Argument(help="The tool's slug.")],
    into: Annotated[str | None, typer.Option(help="Slug of the tool that it is merged into.")] = None,
) -> None:
    """Take a tool off the site. Its record, verdicts and votes stay; its address leads to the tool named by --into."""

    async def run(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            _say(await tools.retire(connection, slug, into=into, now=datetime.now(UTC)))

    _run(run)


@commands.command("list")
def list_tools(
    retired: Annotated[bool, typer.Option("--retired", help="With the tools off the site.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False,
) -> None:
    """List the tools on record."""

    async def run(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            for one in await tools.everything(connection, retired=retired):
                if as_json:
                    typer.echo(
                        json.dumps(
                            {
                                "tool_id": one.tool_id,
                                "slug": one.tool.slug,
                                "name": one.tool.name,
                                "category": one.tool.category,
                                "version": one.version,
                                "status": one.tool.status,
                                "facts": len(one.tool.facts),
                            }
                        )
                    )
                else:
                    off = "  (retired)" if one.tool.status == "retired" else ""
                    typer.echo(
                        f"{one.tool.slug:36} v{one.version:<3} {len(one.tool.facts):3} facts  {one.tool.name}{off}"
                    )

    _run(run)


async def _report(published: AsyncIterator[tools.Published]) -> None:
    async with aclosing(published) as each:  # type: ignore[type-var]
        async for one in each:
            _say(one)


def _say(one: tools.Published) -> None:
    typer.echo(f"{one.outcome:9}  {one.slug}  v{one.version}  {one.tool_id}")


def _run(work: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    async def run() -> None:
        engine = create_engine(Settings(), size=1, overflow=1)
        try:
            await work(engine)
        finally:
            await engine.dispose()

    try:
        asyncio.run(run())
    except (domain.SlugClash, domain.UnknownTool, domain.DossierTooLarge, toolfile.BadToolFile) as error:
        raise _refused(error) from error


def _refused(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)


cli = service_cli("catalog", Settings, api, worker)
cli.registered_commands += commands.registered_commands
