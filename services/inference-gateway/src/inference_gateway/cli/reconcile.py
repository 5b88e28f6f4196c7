"""Commands that hold the ledger against an invoice, and that correct it by rows of their own."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from ..domain.reconcile import Difference, Line, differences, model_of
from ..store import accounts, corrections, invoices
from ..store.corrections import Notes
from ..store.focus import exact
from .running import nano_usd, run

commands = typer.Typer(no_args_is_help=True, help="Rows that correct the ledger; no row is ever changed.")
_WORDS = {
    "missing_in_ledger": "missing in the ledger",
    "missing_in_invoice": "missing in the invoice",
    "amount_differs": "amount differs",
}


def reconcile(
    file: Annotated[
        Path, typer.Argument(help="Invoice export: AWS CUR, Azure cost details, or plain CSV.", exists=True)
    ],
    provider: Annotated[str, typer.Option(help="Provider whose invoice it is, as the ledger names it.")],
    form: Annotated[
        str | None, typer.Option("--format", help="aws, azure or plain; by its columns if not given.")
    ] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="The invoice's name=the ledger's model; `*` stands for any.")
    ] = None,
    tolerance: Annotated[str, typer.Option(help="US dollars a line that may differ.")] = "0",
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day; the file's if not given.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; the file's if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a difference, for programs.")] = False,
) -> None:
    """Compare the ledger with an invoice and name each difference. Ends with 0 where they agree, 1 where not."""
    if form not in (None, "aws", "azure", "plain"):
        raise typer.BadParameter("format is aws, azure or plain")
    matches = dict(_pair(text) for text in match or ())
    try:
        kind, told = invoices.read(file, form)  # type: ignore[arg-type]
    except invoices.BadInvoice as error:
        raise typer.BadParameter(str(error)) from error
    days = [line.day for line in told]
    if not days and not (since and until):
        raise typer.BadParameter("the file has no line of this kind; give --since and --until")
    first, last = (since.date() if since else min(days)), (until.date() if until else max(days))
    told = [line for line in told if first <= line.day <= last]
    by_request = bool(told) and all(line.request is not None for line in told)
    ours, notes = run(
        lambda connection: corrections.lines(connection, provider, since=first, until=last, by_request=by_request)
    )
    models = corrections.models_of(ours)
    named = [Line(line.day, model_of(line.model, models, matches), line.nano_usd, line.request) for line in told]
    found = differences(ours, named, tolerance_nano_usd=nano_usd(tolerance))
    for one in found:
        note = notes.get((one.day, one.model), Notes(0, 0))
        typer.echo(orjson.dumps(_told(one, note)).decode() if as_json else _sentence(one, note))
    if not as_json:
        _sum_up(ours, named, found, f"{provider}, {kind}, {first} to {last}")
    raise typer.Exit(1 if found else 0)


def _pair(text: str) -> tuple[str, str]:
    name, _, model = text.rpartition("=")
    if not name or not model:
        raise typer.BadParameter(f"--match is NAME=MODEL, not {text}")
    return name, model


def _sentence(one: Difference, note: Notes) -> str:
    def amount(nano: int | None) -> str:
        return "-" if nano is None else f"${exact(nano)}"

    where = f"{one.day}  {one.model}" + (f"  {one.request}" if one.request else "")
    why = [f"{note.uncertain} uncertain"] if note.uncertain else []
    why += [f"{note.unpriced} unpriced"] if note.unpriced else []
    sides = f"ledger {amount(one.ledger_nano_usd)}  invoice {amount(one.invoice_nano_usd)}"
    noted = f"  ({', '.join(why)} in the ledger)" if why else ""
    return f"{_WORDS[one.kind]:22}  {where}  {sides}  difference ${exact(one.nano_usd)}{noted}"


def _told(one: Difference, note: Notes) -> dict[str, object]:
    return {
        "kind": one.kind,
        "day": one.day,
        "model": one.model,
        "request": one.request,
        "ledger_nano_usd": one.ledger_nano_usd,
        "invoice_nano_usd": one.invoice_nano_usd,
        "difference_nano_usd": one.nano_usd,
        "uncertain_attempts": note.uncertain,
        "unpriced_attempts": note.unpriced,
    }


def _sum_up(ours: list[Line], named: list[Line], found: list[Difference], what: str) -> None:
    mine, theirs = sum(line.nano_usd for line in ours), sum(line.nano_usd for line in named)
    typer.echo(f"{what}: ledger ${exact(mine)}, invoice ${exact(theirs)}, {len(found)} differences")


@commands.command("attempt")
def correct_attempt(
    attempt_id: str,
    cost: Annotated[str, typer.Argument(help="What it cost in US dollars, as the invoice says.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the row.")],
) -> None:
    """Make an attempt cost what the invoice says, by one more row."""
    now = datetime.now(UTC)
    try:
        added = run(
            lambda connection: corrections.correct_attempt(connection, attempt_id, nano_usd(cost), reason, now=now)
        )
    except corrections.NoSuchAttempt as error:
        raise typer.BadParameter(f"no such attempt: {error}") from error
    typer.echo(f"added ${exact(added)}")


@commands.command("day")
def adjust_day(
    project: str,
    provider: str,
    model: str,
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"])],
    difference: Annotated[str, typer.Argument(help="US dollars to add; negative (after `--`) to take away.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the row.")],
) -> None:
    """Add an amount to a project's day at a provider and model, where no single attempt can be named."""
    at: date = day.date()

    async def add(connection: AsyncConnection) -> str:
        owner = await accounts.project_id(connection, project)
        return await corrections.adjust_day(
            connection, owner, provider, model, at, nano_usd(difference), reason, now=datetime.now(UTC)
        )

    typer.echo(run(add))
