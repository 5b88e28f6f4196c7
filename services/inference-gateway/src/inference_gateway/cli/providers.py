"""Commands for providers: what the files say, whether they are good, what things cost."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..app import provider_folders
from ..app import providers as all_providers
from ..domain.money import price_on
from ..settings import Settings
from ..store import manifests
from ..store.manifest_checks import check

commands = typer.Typer(invoke_without_command=True, help="Provider files: what they offer, and whether they are good.")


@commands.callback()
def show(context: typer.Context) -> None:
    """Show what each provider offers."""
    if context.invoked_subcommand is not None:
        return
    for provider in _all().values():
        refuse = next((one.refuse for one in provider.deployments if one.refuse), None)
        typer.echo(f"{provider.id:14} {provider.display_name:32} {refuse or 'routable'}")
        for one in provider.deployments:
            typer.echo(f"    {one.model}" + ("" if one.prices else "  (unpriced)"))


@commands.command("check")
def check_files(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder with provider files; those that the gateway reads if not given.")
    ] = None,
) -> None:
    """Check provider files before they are in force: every problem with file, line and field. Ends with 1 if any."""
    folders = [folder] if folder else provider_folders(Settings())
    problems = check(folders)
    for problem in problems:
        typer.echo(str(problem))
    count = sum(len(list(one.glob("*.toml"))) for one in folders if one.is_dir())
    typer.echo(f"{count} files, {len(problems)} problems")
    raise typer.Exit(1 if problems else 0)


def prices(
    provider: Annotated[str | None, typer.Option(help="This provider only.")] = None,
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day; today if not given.")] = None,
) -> None:
    """Show the prices that hold on a day, in US dollars per million tokens, with their version."""
    day = on.date() if on else datetime.now(UTC).date()
    found = _all()
    if provider is not None and provider not in found:
        raise typer.BadParameter(f"no such provider: {provider}")
    for one in (one for name, of in found.items() if provider in (None, name) for one in of.deployments):
        price = price_on(one.prices, day)
        if price is None:
            typer.echo(f"{one.provider:14} {one.model:48} unpriced")
            continue
        cached = "" if price.cached_input is None else f"  cached {float(price.cached_input):g}"
        told = f"in {float(price.input):g}  out {float(price.output):g}{cached}"
        typer.echo(f"{one.provider:14} {one.model:48} {told}  {price.version}")


def _all() -> dict[str, manifests.Provider]:
    try:
        return all_providers(Settings())
    except manifests.BadManifest as error:
        raise typer.BadParameter(str(error)) from error
