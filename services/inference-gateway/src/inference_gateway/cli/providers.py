"""Commands for providers: what the files say."""

import typer

from ..app import providers as all_providers
from ..settings import Settings
from ..store import manifests


def providers() -> None:
    """Check the provider files and show what each provider offers."""
    settings = Settings()
    try:
        found = all_providers(settings)
    except manifests.BadManifest as error:
        raise typer.BadParameter(str(error)) from error
    for provider in found.values():
        refuse = next((one.refuse for one in provider.deployments if one.refuse), None)
        typer.echo(f"{provider.id:14} {provider.display_name:32} {refuse or 'routable'}")
        for one in provider.deployments:
            typer.echo(f"    {one.model}" + ("" if one.prices else "  (unpriced)"))
