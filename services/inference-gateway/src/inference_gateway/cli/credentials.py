"""Commands for provider credentials. A secret is asked for or read from a file: everybody can see arguments."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import SecretStr

from ..app import providers as all_providers
from ..settings import Settings
from ..store import credentials as store
from ..store.accesses import BadCredentials, check
from ..store.vault import NoKey, Vault, new_key
from .running import run

credentials = typer.Typer(no_args_is_help=True, help="Credentials of providers, stored encrypted.")


@credentials.command("list")
def list_credentials() -> None:
    """Show who has credentials for whom, never the credentials."""
    for row in run(store.listed):
        whose = row["project"] or "everybody"
        typer.echo(f"{row['id']}  {row['provider']:14}  {whose:36}  {', '.join(row['fields'])}  {row['changed_at']:%F}")


@credentials.command("set")
def set_credentials(
    provider: str,
    project: Annotated[
        str | None, typer.Option(help="Project (name or id) that they are for; none: everybody.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="JSON object of the fields, `-` for standard input; none: asks for a key.")
    ] = None,
) -> None:
    """Store credentials for a provider, in place of those that were there."""
    settings = Settings()
    known = all_providers(settings).get(provider)
    if known is None:
        raise typer.BadParameter(f"no such provider: {provider}")
    values = {name: SecretStr(value) for name, value in _asked(file).items()}
    try:
        check(known.manifest, values)
        vault = Vault(settings.credentials_keys)
        now = datetime.now(UTC)
        typer.echo(run(lambda connection: store.put(connection, vault, provider, project, values, at=now)))
    except (BadCredentials, NoKey) as error:
        raise typer.BadParameter(str(error)) from error


@credentials.command("remove")
def remove_credentials(credential_id: str) -> None:
    """Remove credentials."""
    if not run(lambda connection: store.remove(connection, credential_id)):
        raise typer.BadParameter("no such credentials")


@credentials.command("new-key")
def make_key() -> None:
    """Print a new key for GATEWAY_CREDENTIALS_KEYS."""
    typer.echo(new_key())


@credentials.command("seal-again")
def seal_again() -> None:
    """Encrypt all credentials with the first key of GATEWAY_CREDENTIALS_KEYS; after it the others may go."""
    try:
        vault = Vault(Settings().credentials_keys)
        done, failed = run(lambda connection: store.seal_again(connection, vault))
    except NoKey as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{done} sealed again" + (f", {failed} cannot be opened with these keys" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _asked(file: Path | None) -> dict[str, str]:
    if file is None:
        return {"key": typer.prompt("Key", hide_input=True)}
    raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise typer.BadParameter("the file is not JSON") from None
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise typer.BadParameter("the file is no JSON object of texts")
    return told
