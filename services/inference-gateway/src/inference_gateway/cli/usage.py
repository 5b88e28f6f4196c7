"""Commands for what was used and what it cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

import typer

from ..store import usage as usage_store
from .running import run


def usage(
    group_by: Annotated[str, typer.Option(help=f"Some of {', '.join(usage_store.GROUPS)}.")] = "project,model",
    days: Annotated[int, typer.Option(min=1, help="Days back from today.")] = 30,
) -> None:
    """Show what was used, from the ledger."""
    groups = [part.strip() for part in group_by.split(",")]
    if not set(groups) <= set(usage_store.GROUPS):
        raise typer.BadParameter(f"group by some of {', '.join(usage_store.GROUPS)}")
    today = datetime.now(UTC).date()
    rows = run(
        lambda connection: usage_store.usage(
            connection, group_by=groups, since=today - timedelta(days=days), until=today
        )
    )
    for row in rows:
        named = "  ".join(str(row[group]) for group in groups)
        typer.echo(
            f"{named:48}  {row['requests']:8} requests  {row['input_tokens']:12} in  {row['output_tokens']:10} out  "
            f"${Decimal(row['cost_nano_usd']) / 10**9}"
            + (f"  {row['uncertain_attempts']} uncertain" if row["uncertain_attempts"] else "")
            + (f"  {row['unpriced_attempts']} unpriced" if row["unpriced_attempts"] else "")
        )
