"""The ledger as FOCUS 1.2 rows (FinOps Open Cost and Usage Specification): what finance tools read.

One row a day, organisation, project, cost centre, key, end user, provider and model. Costs are the ledger's, exact;
the invoice's number is provisional, one a provider and month, until the provider's own is known.
Attempts without a price are in no row: FOCUS knows no unknown cost, and zero would be untrue. Columns that start with
``x_`` are ours, as the specification has it.
"""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import keys, ledger, organisations, projects

COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_Model",
    "x_Attempts",
    "x_UncertainAttempts",
    "x_CostNanoUsd",
)


async def focus(
    connection: AsyncConnection, *, since: date, until: date, project_id: str | None = None
) -> list[dict[str, Any]]:
    """FOCUS rows from ``since`` to ``until`` (days in UTC, both included), with every column of :data:`COLUMNS`."""
    # A correction of a month that is over is one in FOCUS's sense; within the month it is part of the charge.
    late = (ledger.c.kind != "attempt") & (
        sa.func.date_trunc("month", sa.func.timezone("UTC", ledger.c.written_at))
        > sa.func.date_trunc("month", sa.cast(ledger.c.usage_day, sa.DateTime))
    )
    sign = sa.case((ledger.c.kind == "reversal", -1), else_=1)
    tokens = sa.func.coalesce(ledger.c.input_tokens, 0) + sa.func.coalesce(ledger.c.output_tokens, 0)
    attempts = ledger.c.kind == "attempt"
    by = [
        ledger.c.usage_day,
        late.label("late"),
        ledger.c.organisation_id,
        organisations.c.name.label("organisation"),
        ledger.c.project_id,
        projects.c.name.label("project"),
        ledger.c.cost_centre,
        ledger.c.key_id,
        keys.c.name.label("key"),
        ledger.c.end_user,
        ledger.c.provider,
        ledger.c.model,
    ]
    query = (
        sa.select(
            *by,
            sa.func.sum(ledger.c.cost_nano_usd).label("nano_usd"),
            sa.func.sum(sign * tokens).label("tokens"),
            sa.func.count().filter(attempts).label("attempts"),
            sa.func.count().filter(attempts, ledger.c.outcome == "uncertain").label("uncertain"),
        )
        .join(projects, projects.c.id == ledger.c.project_id)
        .join(organisations, organisations.c.id == projects.c.organisation_id)
        .outerjoin(keys, keys.c.id == ledger.c.key_id)
        .where(ledger.c.usage_day >= since, ledger.c.usage_day <= until, ledger.c.cost_nano_usd.is_not(None))
        .group_by(*by)
        .order_by(ledger.c.usage_day, projects.c.name, ledger.c.provider, ledger.c.model)
    )
    if project_id is not None:
        query = query.where(ledger.c.project_id == project_id)
    return [_row(row) for row in await connection.execute(query)]


def _row(row: Any) -> dict[str, Any]:
    cost = exact(int(row.nano_usd))
    labels = {"cost_centre": row.cost_centre, "key": row.key, "end_user": row.end_user, "model": row.model}
    start = datetime(row.usage_day.year, row.usage_day.month, 1, tzinfo=UTC)
    day = datetime(row.usage_day.year, row.usage_day.month, row.usage_day.day, tzinfo=UTC)
    return {
        "BilledCost": cost,
        "BillingAccountId": row.organisation_id,
        "BillingAccountName": row.organisation,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _moment((start + timedelta(days=32)).replace(day=1)),
        "BillingPeriodStart": _moment(start),
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if row.late else None,
        "ChargeDescription": f"Inference with {row.model} at {row.provider}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _moment(day + timedelta(days=1)),
        "ChargePeriodStart": _moment(day),
        "ConsumedQuantity": f"{int(row.tokens)}.0",
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceId": f"provisional-{row.provider}-{start:%Y-%m}",
        "InvoiceIssuerName": row.provider,
        "ListCost": cost,
        "PricingCategory": "Standard",
        "PricingQuantity": f"{int(row.tokens)}.0",
        "PricingUnit": "Tokens",
        "ProviderName": row.provider,
        "PublisherName": row.provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model inference",
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": row.project_id,
        "SubAccountName": row.project,
        "SubAccountType": "Project",
        "Tags": orjson.dumps({name: value for name, value in labels.items() if value is not None}).decode(),
        "x_Model": row.model,
        "x_Attempts": row.attempts,
        "x_UncertainAttempts": row.uncertain,
        "x_CostNanoUsd": int(row.nano_usd),
    }


def exact(nano_usd: int) -> str:
    """An amount in US dollars, exact: ``0.000000059`` and never ``5.9E-8``."""
    return f"{Decimal(nano_usd) / 10**9:.9f}"


def as_csv(rows: list[dict[str, Any]]) -> str:
    """FOCUS rows as CSV with a header, also where there is no row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
