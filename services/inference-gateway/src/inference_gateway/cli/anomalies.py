"""Commands for anomalies of spend."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ..store import watching
from ..store.focus import exact
from .running import run

commands = typer.Typer(no_args_is_help=True, help="Projects that spend out of their pattern.")


@commands.command("list")
def list_anomalies(most: Annotated[int, typer.Option(min=1, help="How many.")] = 20) -> None:
    """Show anomalies, open ones first."""
    now = datetime.now(UTC)
    for row in run(lambda connection: watching.recent(connection, most=most)):
        state = "open" if row["closed_at"] is None else f"until {row['closed_at']:%Y-%m-%d %H:%M}"
        throttled = row["throttled_until"] is not None and row["lifted_at"] is None and row["throttled_until"] > now
        rate = f"${exact(row['observed_nano_usd_per_minute'])} a minute"
        expected = f"${exact(row['expected_nano_usd_per_minute'])} expected"
        typer.echo(
            f"{row['id']}  {row['project']:24}  {row['model']:32}  since {row['since']:%Y-%m-%d %H:%M:%S}  {state:22}  "
            f"{rate}, {expected}" + (f"  throttled until {row['throttled_until']:%H:%M}" if throttled else "")
        )


@commands.command("lift")
def lift(anomaly_id: str) -> None:
    """Take an anomaly's throttle away now; it is not found again before the project has been ordinary for a while."""
    if not run(lambda connection: watching.lift(connection, anomaly_id, now=datetime.now(UTC))):
        raise typer.BadParameter("no such anomaly, or there is nothing to lift")
