"""The ledger: one row an attempt, unique by attempt id, never changed; corrections are rows of their own.

An attempt that was taken for lost stands as *uncertain* at its upper bound. When its end turns up after all, a
reversal takes the bound back and a correction states what it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils import uuid7

from shipjury_delivery import publish
from shipjury_schemas import Event, InferenceUsed
from shipjury_schemas.inference_used.v1 import Tokens

from .entries import Facts
from .tables import ledger, projects

SOURCE = "/shipjury/inference-gateway"
_LOCK = 0x4C45_4447_4552  # one writer at a time: "LEDGER"


@dataclass(frozen=True, slots=True)
class Entry:
    """A settled attempt as it came from Redis."""

    facts: Facts
    outcome: dict[str, Any]

    @classmethod
    def decode(cls, facts: bytes, outcome: bytes) -> "Entry":
        """The entry in a stream's fields."""
        return cls(Facts.decode(facts), orjson.loads(outcome))


async def write(connection: AsyncConnection, entries: Sequence[Entry], *, now: datetime) -> int:
    """Write entries and their events, within the caller's transaction. An entry that is there already changes
    nothing. Returns how many rows were added."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    known = await _known(connection, [entry.facts.attempt_id for entry in entries])
    traces = {entry.facts.attempt_id: entry.facts.traceparent for entry in entries}
    rows: list[dict[str, Any]] = []
    for entry in entries:
        held = known.setdefault(entry.facts.attempt_id, {})
        for row in _rows(entry, held, now):
            held[row["kind"]] = row
            rows.append(row)
    if not rows:
        return 0
    await _add(connection, rows, traces)
    await _block_overruns(connection, rows)
    return len(rows)


async def append(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    """Add rows that a person wrote (corrections) and their events, within the caller's transaction."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    await _add(connection, rows, {})


async def _add(connection: AsyncConnection, rows: list[dict[str, Any]], traces: dict[str, str | None]) -> None:
    versions = await _draw_versions(connection, rows)
    await connection.execute(sa.insert(ledger), rows)
    await publish(connection, *(_event(row, versions, traces.get(row["attempt_id"])) for row in rows))


def _rows(entry: Entry, held: dict[str, dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    row = _row(entry, now)
    before = held.get("attempt")
    if before is None:
        return [row]
    settled_meanwhile = before["outcome"] != "uncertain" or before["reason"] != "instance_lost"
    if settled_meanwhile or "correction" in held or row["reason"] == "instance_lost":
        return []
    cost = before["cost_nano_usd"]
    reversal = before | {
        "entry_id": str(uuid7()),
        "kind": "reversal",
        "corrects": before["entry_id"],
        "cost_nano_usd": None if cost is None else -cost,
        "written_at": now,
    }
    return [reversal, row | {"kind": "correction", "corrects": before["entry_id"]}]


def _row(entry: Entry, now: datetime) -> dict[str, Any]:
    facts, outcome = entry.facts, entry.outcome
    uncertain = outcome["outcome"] == "uncertain"
    tokens = outcome.get("tokens") or (None, None, None)
    lost_ms = int((now - facts.started_at).total_seconds() * 1000)
    return {
        "entry_id": str(uuid7()),
        "kind": "attempt",
        "corrects": None,
        "attempt_id": facts.attempt_id,
        "request_id": facts.request_id,
        "first_attempt": facts.first,
        "organisation_id": facts.organisation_id,
        "project_id": facts.project_id,
        "cost_centre": facts.cost_centre,
        "key_id": facts.key_id,
        "end_user": facts.end_user,
        "provider": facts.provider,
        "model": facts.model,
        "route": facts.route,
        "outcome": outcome["outcome"],
        "reason": outcome["reason"],
        "input_tokens": tokens[0],
        "cached_input_tokens": tokens[1],
        "output_tokens": tokens[2],
        "cost_nano_usd": facts.bound_nano_usd if uncertain else outcome["cost"],
        "bound_nano_usd": facts.bound_nano_usd,
        "price_version": facts.price_version,
        "upstream_request_id": outcome.get("upstream"),
        "usage": outcome.get("usage"),
        "explanation": facts.explanation,
        "started_at": facts.started_at,
        "duration_ms": max(0, outcome.get("ms", lost_ms)),
        "time_to_first_token_ms": outcome.get("ttft"),
        "usage_day": facts.started_at.astimezone(UTC).date(),
        "written_at": now,
        "prompt_hash": facts.prompt_hash,
    }


async def _known(connection: AsyncConnection, attempts: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
    columns = [column for column in ledger.c if column.name != "id"]
    found = await connection.execute(
        sa.select(*columns).where(ledger.c.attempt_id == sa.any_(sa.literal(attempts, sa.ARRAY(sa.Text))))
    )
    known: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found.mappings():
        known.setdefault(row["attempt_id"], {})[row["kind"]] = dict(row)
    return known


async def _draw_versions(connection: AsyncConnection, rows: list[dict[str, Any]]) -> dict[str, int]:
    """The version after each row, by entry id. Locks the projects, in one order for everybody."""
    by_project: dict[str, list[str]] = {}
    for row in rows:
        by_project.setdefault(row["project_id"], []).append(row["entry_id"])
    versions: dict[str, int] = {}
    for project, entry_ids in sorted(by_project.items()):
        last: int = (
            await connection.execute(
                sa.update(projects)
                .where(projects.c.id == project)
                .values(ledger_version=projects.c.ledger_version + len(entry_ids))
                .returning(projects.c.ledger_version)
            )
        ).scalar_one()
        for number, entry_id in enumerate(entry_ids, start=last - len(entry_ids) + 1):
            versions[entry_id] = number
    return versions


def _event(row: dict[str, Any], versions: dict[str, int], traceparent: str | None) -> Event[InferenceUsed]:
    tokens = None
    if row["input_tokens"] is not None:
        tokens = Tokens(input=row["input_tokens"], cached_input=row["cached_input_tokens"], output=row["output_tokens"])
    told = {name: row[name] for name in InferenceUsed.model_fields if name in row}
    data = InferenceUsed.model_validate(told | {"aggregate_version": versions[row["entry_id"]], "tokens": tokens})
    return Event(data=data, source=SOURCE, traceparent=traceparent)


async def _block_overruns(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    """An attempt that cost more than its bound means that a bound is wrong: the project waits for an operator."""
    for row in rows:
        cost, bound = row["cost_nano_usd"], row["bound_nano_usd"]
        if cost is not None and bound is not None and cost > bound:
            await connection.execute(
                sa.update(projects)
                .where(projects.c.id == row["project_id"], projects.c.blocked.is_(None))
                .values(blocked=f"attempt {row['attempt_id']} cost {cost} nano-USD, above its bound of {bound}")
            )
