"""Commands for what was used and what it cost."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from ..store import focus as focus_store
from ..store import usage as usage_store
from .running import run


def usage(
    group_by: Annotated[str, typer.Option(help=f"Some of {', '.join(usage_store.GROUPS)}.")] = "project,model",
    days: Annotated[int, typer.Option(min=1, help="Days back from today.")] = 30,
    focus: Annotated[bool, typer.Option(help="FOCUS 1.2 rows as CSV instead, for finance.")] = False,
) -> None:
    """Show what was used, from the ledger."""
    groups = [{"user": "end_user"}.get(part.strip(), part.strip()) for part in group_by.split(",")]
    if not set(groups) <= set(usage_store.GROUPS):
        raise typer.BadParameter(f"group by some of {', '.join(usage_store.GROUPS)}")
    today = datetime.now(UTC).date()
    since = today - timedelta(days=days)
    if focus:
        found = run(lambda connection: focus_store.focus(connection, since=since, until=today))
        sys.stdout.write(focus_store.as_csv(found))
        return
    rows = run(lambda connection: usage_store.usage(connection, group_by=groups, since=since, until=today))
    for row in rows:
        named = "  ".join(str(row[group]) for group in groups)
        typer.echo(
            f"{named:48}  {row['requests']:8} requests  {row['input_tokens']:12} in  {row['output_tokens']:10} out  "
            f"${row['cost_usd']}"
            + (f"  {row['uncertain_attempts']} uncertain" if row["uncertain_attempts"] else "")
            + (f"  {row['unpriced_attempts']} unpriced" if row["unpriced_attempts"] else "")
        )
