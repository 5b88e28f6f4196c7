"""What a person adds to the ledger after an invoice: corrections, as rows of their own. No row is ever changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils import uuid7

from ..domain.reconcile import Line
from .ledger import append
from .tables import ledger, projects

BY_HAND = "operator"


class NoSuchAttempt(LookupError):
    """There is no attempt of that id in the ledger."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What explains a difference: attempts of a day and model that are uncertain, or have no price."""

    uncertain: int
    unpriced: int


async def lines(
    connection: AsyncConnection, provider: str, *, since: date, until: date, by_request: bool
) -> tuple[list[Line], dict[tuple[date, str], Notes]]:
    """The ledger's side of a reconciliation: what a provider's attempts cost, by day and model, or by request."""
    request = ledger.c.upstream_request_id if by_request else sa.literal(None, sa.Text)
    by = [ledger.c.usage_day, ledger.c.model, request.label("request")]
    attempts = ledger.c.kind == "attempt"
    rows = await connection.execute(
        sa.select(
            *by,
            sa.func.sum(ledger.c.cost_nano_usd).label("nano_usd"),
            sa.func.count().filter(attempts, ledger.c.outcome == "uncertain").label("uncertain"),
            sa.func.count().filter(attempts, ledger.c.cost_nano_usd.is_(None)).label("unpriced"),
        )
        .where(ledger.c.provider == provider, ledger.c.usage_day >= since, ledger.c.usage_day <= until)
        .group_by(*by)
    )
    found: list[Line] = []
    notes: dict[tuple[date, str], Notes] = {}
    for row in rows:
        found.append(Line(row.usage_day, row.model, int(row.nano_usd or 0), row.request))
        before = notes.get((row.usage_day, row.model), Notes(0, 0))
        notes[row.usage_day, row.model] = Notes(before.uncertain + row.uncertain, before.unpriced + row.unpriced)
    return [line for line in found if line.nano_usd], notes


async def correct_attempt(
    connection: AsyncConnection, attempt_id: str, nano_usd: int, reason: str, *, now: datetime
) -> int:
    """Make an attempt cost ``nano_usd`` by one more row. Returns what was added. Raises :class:`NoSuchAttempt`."""
    found = await connection.execute(sa.select(ledger).where(ledger.c.attempt_id == attempt_id).order_by(ledger.c.id))
    rows = [dict(row) for row in found.mappings()]
    if not rows:
        raise NoSuchAttempt(attempt_id)
    added = nano_usd - sum(row["cost_nano_usd"] or 0 for row in rows)
    keep = {name: value for name, value in rows[0].items() if name != "id"}
    row = keep | _by_hand(added, reason, now) | {"corrects": rows[0]["entry_id"]}
    await append(connection, [row])
    return added


async def adjust_day(
    connection: AsyncConnection,
    project_id: str,
    provider: str,
    model: str,
    day: date,
    nano_usd: int,
    reason: str,
    *,
    now: datetime,
) -> str:
    """Add an amount to a project's day at a provider and model, where no single attempt can be named. Returns the id of
    the row."""
    project = (await connection.execute(sa.select(projects).where(projects.c.id == project_id))).one()
    name = f"adjustment-{uuid7()}"
    row: dict[str, Any] = _by_hand(nano_usd, reason, now) | {
        "corrects": None,
        "attempt_id": name,
        "request_id": name,
        "first_attempt": False,
        "organisation_id": project.organisation_id,
        "project_id": project_id,
        "cost_centre": project.cost_centre,
        "key_id": BY_HAND,
        "end_user": None,
        "provider": provider,
        "model": model,
        "route": BY_HAND,
        "outcome": "ok",
        "bound_nano_usd": None,
        "price_version": None,
        "upstream_request_id": None,
        "started_at": datetime.combine(day, time(12), UTC),
        "usage_day": day,
    }
    await append(connection, [row])
    return str(row["entry_id"])


def _by_hand(nano_usd: int, reason: str, now: datetime) -> dict[str, Any]:
    return {
        "entry_id": str(uuid7()),
        "kind": "correction",
        "reason": reason,
        "input_tokens": None,
        "cached_input_tokens": None,
        "output_tokens": None,
        "cost_nano_usd": nano_usd,
        "usage": None,
        "explanation": None,
        "duration_ms": 0,
        "time_to_first_token_ms": None,
        "written_at": now,
        "prompt_hash": None,
    }


def models_of(found: Iterable[Line]) -> list[str]:
    """The models that the ledger names."""
    return sorted({line.model for line in found})
