"""Commands for projects, keys and budgets."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from ..store import accounts
from ..store.focus import exact
from .running import nano_usd, run

projects = typer.Typer(no_args_is_help=True, help="Who pays: projects of organisations.")
keys = typer.Typer(no_args_is_help=True, help="API keys: shown once, stored as hashes.")
budgets = typer.Typer(no_args_is_help=True, help="Limits on money, tokens, requests and concurrency.")


@projects.command("list")
def list_projects() -> None:
    """Show all projects."""
    for row in run(lambda connection: accounts.list_rows(connection, "projects")):
        state = f"BLOCKED: {row['blocked']}" if row["blocked"] else "open"
        typer.echo(f"{row['id']}  {row['name']:24}  {row['cost_centre'] or '-':16}  {state}")


@projects.command("create")
def create_project(
    name: str,
    organisation: Annotated[str, typer.Option(help="Organisation that pays; made where there is none.")] = "default",
    cost_centre: Annotated[str | None, typer.Option(help="Label of its cost centre.")] = None,
    allow_unpriced: Annotated[bool, typer.Option(help="Whether models without a price may be called.")] = False,
    private: Annotated[bool, typer.Option(help="Whether its data may go to edge nodes only.")] = False,
    zdr: Annotated[bool, typer.Option(help="Whether its data may go only to who keeps none of it.")] = False,
    region: Annotated[list[str] | None, typer.Option(help="Region that its data may go to; repeat it.")] = None,
) -> None:
    """Make a project; one of this name is left as it is."""
    typer.echo(
        run(
            lambda connection: accounts.make_project(
                connection,
                name,
                organisation=organisation,
                cost_centre=cost_centre,
                allow_unpriced=allow_unpriced,
                private=private,
                zdr=zdr,
                regions=tuple(region or ()),
            )
        )
    )


@projects.command("unblock")
def unblock_project(project: str) -> None:
    """Let a blocked project call again, after its overrun has been looked at."""
    run(lambda connection: accounts.change_project(connection, project, blocked=None))


@projects.command("throttle")
def throttle_project(
    project: str,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=0, help="Requests a minute while an anomaly is looked at; not given: never.")
    ] = None,
    minutes: Annotated[int, typer.Option(min=1, help="Minutes after which the throttle lifts by itself.")] = 60,
) -> None:
    """Say whether, and to what, a project is throttled when it spends out of its pattern."""
    run(
        lambda connection: accounts.change_project(
            connection, project, throttle_requests_per_minute=requests_per_minute, throttle_minutes=minutes
        )
    )


@keys.command("list")
def list_keys() -> None:
    """Show all keys, never the keys themselves."""
    for row in run(lambda connection: accounts.list_rows(connection, "keys")):
        state = (
            "revoked" if row["revoked_at"] else f"until {row['expires_at']:%Y-%m-%d}" if row["expires_at"] else "open"
        )
        typer.echo(f"{row['id']}  {row['hint']:12}  {row['name']:24}  {row['project_id']}  {state}")


@keys.command("create")
def create_key(
    project: str,
    name: str,
    model: Annotated[
        list[str] | None, typer.Option(help="Model that it may call; repeat for more; none for all.")
    ] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Provider that it may call, or `edge`.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
) -> None:
    """Make a key and show it, once."""
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    key_id, key = run(
        lambda connection: accounts.make_key(
            connection, project, name, models=tuple(model or ()), providers=tuple(provider or ()), expires_at=expires
        )
    )
    typer.echo(f"{key_id}\n{key}")


@keys.command("rotate")
def rotate_key(
    key_id: str,
    grace_hours: Annotated[float, typer.Option(min=0, help="Hours that the old secret goes on working.")] = 24.0,
) -> None:
    """Give a key a new secret and show it, once; scope, budgets and history stay with the key."""
    try:
        key = run(
            lambda connection: accounts.rotate_key(
                connection, key_id, at=datetime.now(UTC), grace=timedelta(hours=grace_hours)
            )
        )
    except accounts.NoSuchKey as error:
        raise typer.BadParameter("no such key, or it is revoked") from error
    typer.echo(key)


@keys.command("revoke")
def revoke_key(key_id: str) -> None:
    """Revoke a key, at once and for good."""
    if not run(lambda connection: accounts.revoke_key(connection, key_id, at=datetime.now(UTC))):
        raise typer.BadParameter("no such key, or it is revoked already")


@budgets.command("list")
def list_budgets() -> None:
    """Show all budgets."""
    for row in run(lambda connection: accounts.list_rows(connection, "budgets")):
        limit = f"${exact(row['limit'])}" if row["metric"] == "nano_usd" else str(row["limit"])
        typer.echo(
            f"{row['id']}  {row['scope']:12} {row['scope_id']}  {row['metric']:11} per {row['window']:6} {limit}"
        )


@budgets.command("set")
def set_budget(
    scope: Annotated[str, typer.Argument(help="organisation, project or key.")],
    scope_id: Annotated[str, typer.Argument(help="Its id; a project's name will do.")],
    limit: Annotated[str, typer.Argument(help="US dollars for `usd`, else a whole number.")],
    metric: Annotated[str, typer.Option(help="usd, tokens, requests or concurrency.")] = "usd",
    window: Annotated[str, typer.Option(help="minute, day, month or total.")] = "month",
) -> None:
    """Set a budget. It counts from when it is first set."""
    if scope not in ("organisation", "project", "key") or window not in ("minute", "day", "month", "total"):
        raise typer.BadParameter("scope is organisation, project or key; window is minute, day, month or total")
    if metric not in ("usd", "tokens", "requests", "concurrency"):
        raise typer.BadParameter("metric is usd, tokens, requests or concurrency")
    if metric != "usd" and not limit.isdecimal():
        raise typer.BadParameter(f"a limit of {metric} is a whole number")
    amount = nano_usd(limit) if metric == "usd" else int(limit)

    async def store(connection: AsyncConnection) -> str:
        owner = await accounts.project_id(connection, scope_id) if scope == "project" else scope_id
        named = "nano_usd" if metric == "usd" else metric
        return await accounts.set_budget(connection, scope, owner, named, window, amount)  # type: ignore[arg-type]

    typer.echo(run(store))


@budgets.command("remove")
def remove_budget(budget_id: str) -> None:
    """Remove a budget."""
    if not run(lambda connection: accounts.remove_budget(connection, budget_id)):
        raise typer.BadParameter("no such budget")
