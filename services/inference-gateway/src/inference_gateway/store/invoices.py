"""Invoice exports as lines: AWS Cost and Usage Reports, Azure's cost details, and a plain CSV of our own.

AWS: legacy reports (``lineItem/UsageType``) and CUR 2.0 (``line_item_usage_type``); Bedrock's usage, at its unblended
cost; a usage type such as ``USE1-Claude3Sonnet-input-tokens`` names the model between region and kind of token. Azure:
the cost details of Enterprise Agreement and Microsoft Customer Agreement; a meter's name begins with the model's.
Plain: ``day,model,cost_usd``, and ``request_id`` (the provider's) where single requests are listed.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

from ..domain.reconcile import Line

Form = Literal["aws", "azure", "plain"]
Row = Mapping[str, str]
_AWS_TYPE = re.compile(
    r"(?:[A-Z]{2,4}\d?-)?(?P<model>.+?)-(?:mantle-)?"
    r"(?:cache-(?:read|write)-input-token-count|input-tokens?|output-tokens?)(?:-.*)?",
    re.IGNORECASE,
)
_AZURE_SERVICES = re.compile(r"openai|foundry|cognitive|ai services", re.IGNORECASE)


class BadInvoice(ValueError):
    """A file that cannot be read as an invoice; the text names line and column."""


def read(path: Path, form: Form | None = None) -> tuple[Form, list[Line]]:
    """The lines of an invoice and its form, found by its columns where none is given. Raises :class:`BadInvoice`."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = {_column(name) for name in reader.fieldnames or ()}
        form = form or _form(columns)
        lines: list[Line] = []
        for row in reader:
            named = {_column(name): (value or "").strip() for name, value in row.items() if isinstance(name, str)}
            try:
                lines += _READERS[form](named)
            except KeyError as error:
                raise BadInvoice(f"{path.name}: a column is missing for the form {form}: {error.args[0]}") from error
            except (ValueError, InvalidOperation) as error:
                raise BadInvoice(f"{path.name}, line {reader.line_num}: {error}") from error
    return form, lines


def _column(name: str) -> str:
    """One spelling for `lineItem/UsageType`, `line_item_usage_type`, `LineItemUsageType`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _form(columns: set[str]) -> Form:
    if "lineitemusagetype" in columns:
        return "aws"
    if "metercategory" in columns:
        return "azure"
    if {"day", "model", "costusd"} <= columns:
        return "plain"
    raise BadInvoice("the columns are of no form that is known: AWS CUR, Azure cost details, or day,model,cost_usd")


def _aws(row: Row) -> Iterator[Line]:
    kind = row["lineitemlineitemtype"]
    if "bedrock" not in row["lineitemproductcode"].lower() or kind in ("Tax", "Credit", "Refund"):
        return
    _dollars(row.get("lineitemcurrencycode") or "USD")
    usage = row["lineitemusagetype"]
    named = _AWS_TYPE.fullmatch(usage)
    day = datetime.fromisoformat(row["lineitemusagestartdate"]).date()
    yield Line(day, named["model"] if named else usage, _nano(row["lineitemunblendedcost"]))


def _azure(row: Row) -> Iterator[Line]:
    service = " ".join((row["metercategory"], row.get("consumedservice", ""), row.get("metersubcategory", "")))
    if not _AZURE_SERVICES.search(service):
        return
    cost = row.get("costinusd")
    if cost is None:
        _dollars(row.get("billingcurrency") or row.get("billingcurrencycode") or "USD")
        cost = row["costinbillingcurrency"] if "costinbillingcurrency" in row else row["pretaxcost"]
    told = row["date"] if "date" in row else row["usagedatetime"]
    day = datetime.strptime(told, "%m/%d/%Y").date() if "/" in told else datetime.fromisoformat(told).date()  # noqa: DTZ007
    yield Line(day, row["metername"], _nano(cost))


def _plain(row: Row) -> Iterator[Line]:
    yield Line(date.fromisoformat(row["day"]), row["model"], _nano(row["costusd"]), row.get("requestid") or None)


def _dollars(currency: str) -> None:
    if currency.upper() != "USD":
        raise ValueError(f"amounts are in {currency}; the ledger is in US dollars")


def _nano(text: str) -> int:
    """Nano-USD, rounded half to even: exports have up to 16 digits."""
    return int((Decimal(text) * 10**9).to_integral_value())


_READERS: dict[Form, Callable[[Row], Iterator[Line]]] = {"aws": _aws, "azure": _azure, "plain": _plain}
