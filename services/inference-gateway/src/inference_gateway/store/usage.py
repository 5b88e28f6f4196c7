"""What was used, summed from the ledger; and how one request went."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .focus import exact
from .tables import keys, ledger, organisations, projects

_SHOWN = (
    "kind",
    "attempt_id",
    "provider",
    "model",
    "route",
    "outcome",
    "reason",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "cost_nano_usd",
    "bound_nano_usd",
    "price_version",
    "upstream_request_id",
    "started_at",
    "duration_ms",
    "time_to_first_token_ms",
)
GROUPS = ("organisation", "project", "key", "provider", "model", "day", "cost_centre", "end_user")

SUMS = (
    "attempts",
    "requests",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "cost_nano_usd",
    "cost_usd",
    "uncertain_attempts",
    "unpriced_attempts",
)
"""What each row of usage sums, beside what it is grouped by."""


async def usage(
    connection: AsyncConnection,
    *,
    group_by: Sequence[str],
    since: date,
    until: date,
    organisation_id: str | None = None,
    project_id: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of cost and tokens from ``since`` to ``until`` (days in UTC, both included).

    ``cost_usd`` says exactly what ``cost_nano_usd`` says. ``unpriced_attempts`` are attempts whose model has no price:
    their cost is in no sum.
    """
    named = {
        "organisation": organisations.c.name,
        "project": projects.c.name,
        "key": keys.c.name,
        "provider": ledger.c.provider,
        "model": ledger.c.model,
        "day": ledger.c.usage_day,
        "cost_centre": ledger.c.cost_centre,
        "end_user": ledger.c.end_user,
    }
    sign = sa.case((ledger.c.kind == "reversal", -1), else_=1)
    columns = [named[name].label(name) for name in group_by]
    attempts = sa.func.count().filter(ledger.c.kind == "attempt")
    query = (
        sa.select(
            *columns,
            attempts.label("attempts"),
            sa.func.count(sa.distinct(ledger.c.request_id)).label("requests"),
            sa.func.coalesce(sa.func.sum(sign * ledger.c.input_tokens), 0).label("input_tokens"),
            sa.func.coalesce(sa.func.sum(sign * ledger.c.cached_input_tokens), 0).label("cached_input_tokens"),
            sa.func.coalesce(sa.func.sum(sign * ledger.c.output_tokens), 0).label("output_tokens"),
            sa.func.coalesce(sa.func.sum(ledger.c.cost_nano_usd), 0).label("cost_nano_usd"),
            sa.func.count()
            .filter(ledger.c.kind == "attempt", ledger.c.outcome == "uncertain")
            .label("uncertain_attempts"),
            sa.func.count()
            .filter(ledger.c.kind == "attempt", ledger.c.cost_nano_usd.is_(None))
            .label("unpriced_attempts"),
        )
        .join(projects, projects.c.id == ledger.c.project_id)
        .outerjoin(organisations, organisations.c.id == ledger.c.organisation_id)
        .outerjoin(keys, keys.c.id == ledger.c.key_id)
        .where(ledger.c.usage_day >= since, ledger.c.usage_day <= until)
        .group_by(*columns)
        .order_by(*columns)
    )
    if organisation_id is not None:
        query = query.where(ledger.c.organisation_id == organisation_id)
    if project_id is not None:
        query = query.where(ledger.c.project_id == project_id)
    rows = (await connection.execute(query)).mappings()
    return [_plain(row) | {"cost_usd": exact(int(row["cost_nano_usd"]))} for row in rows]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row whose sums are integers (Postgres sums bigints to numerics)."""
    return {str(name): int(value) if hasattr(value, "as_tuple") else value for name, value in row.items()}


async def request(connection: AsyncConnection, request_id: str, project_id: str) -> dict[str, Any] | None:
    """How a request of this project went: its plan and its ledger rows, or ``None``."""
    found = await connection.execute(
        sa.select(ledger)
        .where(ledger.c.request_id == request_id, ledger.c.project_id == project_id)
        .order_by(ledger.c.started_at, ledger.c.id)
    )
    rows = [dict(row) for row in found.mappings()]
    if not rows:
        return None
    plan = next((row["explanation"] for row in rows if row["explanation"]), None)
    costs = [row["cost_nano_usd"] for row in rows]
    return {
        "id": request_id,
        "object": "gateway.request",
        "plan": plan,
        "attempts": [{name: row[name] for name in _SHOWN} for row in rows],
        "cost_nano_usd": None if all(cost is None for cost in costs) else sum(cost or 0 for cost in costs),
    }
