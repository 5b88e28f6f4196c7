"""The notifier's command line; `shipjury digest` is its operators' part."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from shipjury_delivery import service_cli
from shipjury_delivery.database import create_engine

from .app import api, worker
from .composing import Editor
from .mail import Links, digest_bodies
from .settings import Settings
from .store import deliveries, subscribers
from .store.issues import NothingNew

cli = service_cli("notifier", Settings, api, worker)
commands = typer.Typer(help="Preview, send and stop the weekly digest.", no_args_is_help=True)


@commands.command()
def preview(html: Annotated[bool, typer.Option("--html", help="The HTML part instead of the text.")] = False) -> None:
    """Show the issue that would be sent now; nothing is stored."""

    async def run() -> str:
        settings = Settings()
        engine = create_engine(settings)
        try:
            draft = await Editor(engine, settings, lambda: datetime.now(UTC)).draft()
        finally:
            await engine.dispose()
        if draft is None:
            return "No verdict has changed since the last issue."
        nowhere = Links("(unsubscribe link)", "(preferences link)", "(confirmation link)")
        as_html, plain = digest_bodies(settings, draft, draft.items, nowhere, settings.digest_time_zone)
        return as_html if html else plain

    typer.echo(asyncio.run(run()))


@commands.command()
def send() -> None:
    """Compose an issue of everything up to now and queue it for every subscriber."""

    async def run() -> str:
        settings = Settings()
        engine = create_engine(settings)
        try:
            editor = Editor(engine, settings, lambda: datetime.now(UTC))
            issue = await editor.compose(datetime.now(UTC))
        except NothingNew:
            return "No verdict has changed since the last issue; nothing was sent."
        finally:
            await engine.dispose()
        return f"{issue.digest_id} is composed and queued." if issue else "Another issue was composed at this moment."

    typer.echo(asyncio.run(run()))


@commands.command()
def status() -> None:
    """Subscribers and deliveries by state."""

    async def run() -> tuple[dict[str, int], dict[str, int], bool]:
        engine = create_engine(Settings())
        try:
            async with engine.connect() as connection:
                return (
                    await subscribers.count_by_state(connection),
                    await deliveries.counts(connection),
                    await deliveries.paused(connection),
                )
        finally:
            await engine.dispose()

    people, mails, paused = asyncio.run(run())
    typer.echo("subscribers: " + (", ".join(f"{count} {state}" for state, count in people.items()) or "none"))
    typer.echo("mails: " + ", ".join(f"{count} {state}" for state, count in mails.items()))
    typer.echo(f"mails are {'paused' if paused else 'going out'}")


@commands.command()
def pause() -> None:
    """Stop all mails; what is due waits."""
    _switch(True)


@commands.command()
def resume() -> None:
    """Let mails go again."""
    _switch(False)


def _switch(is_on: bool) -> None:
    async def run() -> None:
        engine = create_engine(Settings())
        try:
            async with engine.begin() as connection:
                await deliveries.set_paused(connection, is_on, datetime.now(UTC))
        finally:
            await engine.dispose()

    asyncio.run(run())
    typer.echo("mails are paused" if is_on else "mails go out")


cli.registered_commands += commands.registered_commands
