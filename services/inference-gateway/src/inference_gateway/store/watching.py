"""What the watch reads and writes: new ledger rows, the state of its series, anomalies with their events and throttles.

One worker watches at a time: it holds a lease in the only row of `watch`. The series and the last ledger row that they
hold are stored together, so that whoever takes over goes on where they stand.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils import uuid7

from shipjury_delivery import publish
from shipjury_schemas import Event, InferenceAnomaly

from .ledger import SOURCE
from .tables import anomalies, budgets, ledger, projects, watch, watch_series

CAUSE = "anomaly"
EVERYTHING = "*"
_SAME = ("project_id", "key_id", "end_user", "model", "route", "prompt_hash")
Key = tuple[str, str, str]
"""Project, model (or `*`), measure (`cost`, `requests` or `repeats`: requests like another one of the last minute)."""


@dataclass(frozen=True, slots=True)
class Used:
    """An attempt, as far as the watch is concerned. ``ended`` is Unix time in seconds; requests with the same ``alike``
    ask for the same (``None``: a further attempt)."""

    id: int
    project_id: str
    model: str
    ended: float
    nano_usd: int
    alike: str | None


@dataclass(frozen=True, slots=True)
class Rates:
    """What was seen and what was expected, a minute."""

    observed_nano_usd: int
    expected_nano_usd: int
    observed_requests: float
    expected_requests: float


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the watch stands: the last ledger row that it took, and the slots that it had not judged then."""

    mine: bool
    ledger_id: int
    pending: tuple[tuple[int, Key, float], ...]


async def hold(connection: AsyncConnection, holder: str, *, now: datetime, lease: timedelta) -> Stored | None:
    """Take or keep the lease. ``mine`` is whether this worker held it before; ``None`` where another one watches."""
    row = (await connection.execute(sa.select(watch).with_for_update(skip_locked=True))).first()
    if row is None or (row.holder != holder and row.held_until is not None and row.held_until > now):
        return None
    await connection.execute(sa.update(watch).values(holder=holder, held_until=now + lease))
    pending = tuple((slot, (project, model, measure), amount) for slot, project, model, measure, amount in row.pending)
    return Stored(row.holder == holder, row.ledger_id, pending)


async def load(connection: AsyncConnection) -> dict[Key, dict[str, Any]]:
    """The state of every series."""
    rows = await connection.execute(sa.select(watch_series))
    return {(row.project_id, row.model, row.measure): row.state for row in rows}


async def save(
    connection: AsyncConnection,
    ledger_id: int,
    pending: Iterable[tuple[int, Key, float]],
    series: Mapping[Key, dict[str, Any]],
) -> None:
    """Store series, what is not judged yet, and up to which ledger row they count."""
    held = [[slot, *key, amount] for slot, key, amount in pending]
    await connection.execute(sa.update(watch).values(ledger_id=ledger_id, pending=held))
    if not series:
        return
    statement = insert(watch_series)
    rows = [
        {"project_id": project, "model": model, "measure": measure, "state": state}
        for (project, model, measure), state in series.items()
    ]
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "model", "measure"], set_={"state": statement.excluded.state}
        ),
        rows,
    )


async def newer(connection: AsyncConnection, ledger_id: int, since: datetime, most: int) -> list[Used]:
    """Attempts in the ledger after a row and a moment, oldest first. One writer at a time: no row appears late."""
    ended = sa.func.extract("epoch", ledger.c.started_at) + ledger.c.duration_ms / 1000.0
    same = sa.func.concat_ws("\n", *(ledger.c[name] for name in _SAME))
    alike = sa.case((ledger.c.prompt_hash.is_not(None), same))
    rows = await connection.execute(
        sa.select(
            ledger.c.id,
            ledger.c.project_id,
            ledger.c.model,
            ended.label("ended"),
            ledger.c.cost_nano_usd,
            alike.label("alike"),
        )
        .where(ledger.c.id > ledger_id, ledger.c.kind == "attempt", ledger.c.started_at >= since)
        .order_by(ledger.c.id)
        .limit(most)
    )
    return [
        Used(row.id, row.project_id, row.model, float(row.ended), row.cost_nano_usd or 0, row.alike) for row in rows
    ]


async def observed(
    connection: AsyncConnection, project: str, model: str, *, since: datetime, now: datetime
) -> tuple[int, float]:
    """What a project's attempts on a model (or on all) cost and how many they were, a minute, since a moment."""
    query = sa.select(sa.func.coalesce(sa.func.sum(ledger.c.cost_nano_usd), 0), sa.func.count()).where(
        ledger.c.project_id == project,
        ledger.c.kind == "attempt",
        ledger.c.usage_day >= since.date(),
        ledger.c.started_at >= since,
    )
    if model != EVERYTHING:
        query = query.where(ledger.c.model == model)
    cost, count = (await connection.execute(query)).one()
    minutes = max(1.0, (now - since).total_seconds()) / 60
    return round(float(cost) / minutes), round(count / minutes, 1)


async def open_projects(connection: AsyncConnection) -> dict[str, tuple[str, str, str]]:
    """Projects with an open anomaly: its id, model and measure."""
    rows = await connection.execute(sa.select(anomalies).where(anomalies.c.closed_at.is_(None)))
    return {row.project_id: (row.id, row.model, row.measure) for row in rows}


async def open_anomaly(
    connection: AsyncConnection, key: Key, rates: Rates, *, since: datetime, now: datetime
) -> str | None:
    """Note an anomaly, throttle the project where its policy says so, and tell of it. ``None`` where the project has an
    open one already."""
    project, model, measure = key
    policy = (await connection.execute(sa.select(projects).where(projects.c.id == project))).one()
    until = None
    if policy.throttle_requests_per_minute is not None:
        until = now + timedelta(minutes=policy.throttle_minutes)
    values = {
        "id": str(uuid7()),
        "project_id": project,
        "model": model,
        "measure": measure,
        "observed_nano_usd_per_minute": rates.observed_nano_usd,
        "expected_nano_usd_per_minute": rates.expected_nano_usd,
        "observed_requests_per_minute": rates.observed_requests,
        "expected_requests_per_minute": rates.expected_requests,
        "since": since,
        "opened_at": now,
        "throttled_until": until,
    }
    made = await connection.scalar(
        insert(anomalies)
        .values(values)
        .on_conflict_do_nothing(index_elements=["project_id"], index_where=sa.text("closed_at IS NULL"))
        .returning(anomalies.c.id)
    )
    if made is None:
        return None
    if until is not None:
        await _throttle(connection, project, policy.throttle_requests_per_minute, until)
    await _tell(connection, str(made), "opened")
    return str(made)


async def close_anomaly(connection: AsyncConnection, anomaly_id: str, *, now: datetime) -> bool:
    """Note that an anomaly is over, and tell of it. Its throttle stays until its end. Returns whether it was open."""
    closed = await connection.execute(
        sa.update(anomalies).where(anomalies.c.id == anomaly_id, anomalies.c.closed_at.is_(None)).values(closed_at=now)
    )
    if closed.rowcount:
        await _tell(connection, anomaly_id, "closed")
    return bool(closed.rowcount)


async def lift(connection: AsyncConnection, anomaly_id: str, *, now: datetime) -> bool:
    """Take an anomaly's throttle away, by a person's decision; the anomaly is over with it. Returns whether there was
    anything to lift or to close."""
    row = (await connection.execute(sa.select(anomalies).where(anomalies.c.id == anomaly_id).with_for_update())).first()
    if row is None:
        return False
    throttled = row.throttled_until is not None and row.throttled_until > now and row.lifted_at is None
    if throttled:
        await connection.execute(sa.update(anomalies).where(anomalies.c.id == anomaly_id).values(lifted_at=now))
        await connection.execute(_throttles().where(budgets.c.scope_id == row.project_id))
    return await close_anomaly(connection, anomaly_id, now=now) or throttled


async def end_throttles(connection: AsyncConnection, *, now: datetime) -> list[str]:
    """Remove throttles whose time is over, and close their anomalies: what goes on is found again. Returns the
    projects."""
    over = await connection.scalars(_throttles().where(budgets.c.until <= now).returning(budgets.c.scope_id))
    found = list(over)
    open_now = await open_projects(connection) if found else {}
    for project in found:
        if project in open_now:
            await close_anomaly(connection, open_now[project][0], now=now)
    return found


async def recent(connection: AsyncConnection, *, most: int = 50) -> list[dict[str, Any]]:
    """Anomalies with their projects' names, open ones first, then the newest."""
    rows = await connection.execute(
        sa.select(anomalies, projects.c.name.label("project"))
        .join(projects, projects.c.id == anomalies.c.project_id)
        .order_by(anomalies.c.closed_at.is_not(None), anomalies.c.opened_at.desc())
        .limit(most)
    )
    return [{str(name): value for name, value in row.items()} for row in rows.mappings()]


def _throttles() -> sa.Delete:
    return sa.delete(budgets).where(budgets.c.cause == CAUSE)


async def _throttle(connection: AsyncConnection, project: str, requests: int, until: datetime) -> None:
    """A budget of requests a minute beside the operator's own: what is admitted is decided where it always is."""
    statement = insert(budgets).values(
        id=str(uuid7()),
        scope="project",
        scope_id=project,
        metric="requests",
        window="minute",
        limit=requests,
        cause=CAUSE,
        until=until,
    )
    await connection.execute(
        statement.on_conflict_do_update(constraint="budgets_once", set_={"limit": requests, "until": until})
    )


async def _tell(connection: AsyncConnection, anomaly_id: str, state: Literal["opened", "closed"]) -> None:
    row = (await connection.execute(sa.select(anomalies).where(anomalies.c.id == anomaly_id))).one()
    version, name = (
        await connection.execute(
            sa.update(projects)
            .where(projects.c.id == row.project_id)
            .values(anomaly_version=projects.c.anomaly_version + 1)
            .returning(projects.c.anomaly_version, projects.c.name)
        )
    ).one()
    data = InferenceAnomaly(
        aggregate_version=version,
        anomaly_id=row.id,
        project_id=row.project_id,
        project=name,
        model=row.model,
        measure="cost" if row.measure == "cost" else "requests",  # repeated ones are requests
        state=state,
        observed_nano_usd_per_minute=row.observed_nano_usd_per_minute,
        expected_nano_usd_per_minute=row.expected_nano_usd_per_minute,
        observed_requests_per_minute=row.observed_requests_per_minute,
        expected_requests_per_minute=row.expected_requests_per_minute,
        throttled=row.throttled_until is not None and row.lifted_at is None,
        throttled_until=row.throttled_until if row.lifted_at is None else None,
        since=row.since,
    )
    await publish(connection, Event(data=data, source=SOURCE))
