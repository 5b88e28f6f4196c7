"""What is left of each budget now: its limit from Postgres, what it has counted from Redis."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ..domain.budgets import Metric, Window, window_end, window_id
from .admission import counters, shard_of
from .resp import RedisAway, RedisPipe
from .tables import budgets, keys, organisations, projects


@dataclass(frozen=True, slots=True)
class Left:
    """A budget and where it stands. ``used`` is ``None`` where Redis cannot be asked; amounts are the metric's."""

    id: str
    scope: str
    owner: str
    metric: Metric
    window: Window
    cause: str
    limit: int
    used: int | None
    resets_at: datetime | None
    until: datetime | None

    @property
    def left(self) -> int | None:
        """What may still be used."""
        return None if self.used is None else max(0, self.limit - self.used)


async def left(connection: AsyncConnection, pipe: RedisPipe, *, now: datetime) -> list[Left]:
    """Every budget in force, by the name of who has it."""
    of_key = sa.select(projects.c.organisation_id).join(keys, keys.c.project_id == projects.c.id)
    owner = sa.case(
        (budgets.c.scope == "organisation", organisations.c.name),
        (budgets.c.scope == "project", projects.c.name),
        else_=keys.c.name,
    )
    organisation = sa.case(
        (budgets.c.scope == "organisation", budgets.c.scope_id),
        (budgets.c.scope == "project", projects.c.organisation_id),
        else_=of_key.where(keys.c.id == budgets.c.scope_id).scalar_subquery(),
    )
    rows = await connection.execute(
        sa.select(budgets, owner.label("owner"), organisation.label("organisation_id"))
        .outerjoin(organisations, (budgets.c.scope == "organisation") & (organisations.c.id == budgets.c.scope_id))
        .outerjoin(projects, (budgets.c.scope == "project") & (projects.c.id == budgets.c.scope_id))
        .outerjoin(keys, (budgets.c.scope == "key") & (keys.c.id == budgets.c.scope_id))
        .where(budgets.c.until.is_(None) | (budgets.c.until > now))
        .order_by(budgets.c.scope.desc(), owner, budgets.c.metric, budgets.c.window)
    )
    found = []
    for row in rows:
        window: Window = "total" if row.metric == "concurrency" else row.window
        found.append(
            Left(
                id=row.id,
                scope=row.scope,
                owner=row.owner or row.scope_id,
                metric=row.metric,
                window=row.window,
                cause=row.cause,
                limit=row.limit,
                used=await _used(pipe, row.organisation_id, row.id, window_id(window, now)),
                resets_at=None if row.metric == "concurrency" else window_end(row.window, now),
                until=row.until,
            )
        )
    return found


async def _used(pipe: RedisPipe, organisation_id: str | None, budget_id: str, window: str) -> int | None:
    if organisation_id is None:
        return None
    try:
        value = await pipe.call("GET", f"{counters(shard_of(organisation_id))}{budget_id}:{window}")
    except RedisAway:
        return None
    return int(value) if isinstance(value, bytes) else 0
