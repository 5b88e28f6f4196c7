"""What the page shows, read from ledger, budgets and anomalies: rows, with the geometry of what is drawn."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ...store import usage as usage_store
from ...store import watching
from ...store.left import Left, left
from ...store.resp import RedisPipe

MOST_ROWS = 12
PERIODS = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Bar:
    """One named amount. ``percent`` is its length against the longest, 0 to 100."""

    name: str
    nano_usd: int
    requests: int
    percent: float


@dataclass(frozen=True, slots=True)
class Column:
    """One day. ``x`` and ``width`` are percent of the drawing, ``height`` is percent of the highest day."""

    day: date
    nano_usd: int
    requests: int
    x: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything on the page."""

    days: int
    since: date
    until: date
    total: int
    requests: int
    uncertain: int
    unpriced: int
    by: dict[str, list[Bar]]
    columns: list[Column]
    budgets: list[Left]
    anomalies: list[dict[str, Any]]

    @property
    def highest(self) -> Column | None:
        """The day of most spend."""
        spent = [column for column in self.columns if column.nano_usd > 0]
        return max(spent, key=lambda column: column.nano_usd) if spent else None


async def figures(connection: AsyncConnection, pipe: RedisPipe, *, days: int, now: datetime) -> Figures:
    """The last ``days`` days, today included."""
    until = now.date()
    since = until - timedelta(days=days - 1)

    async def summed(by: str) -> list[dict[str, Any]]:
        return await usage_store.usage(connection, group_by=[by], since=since, until=until)

    by_day = {row["day"]: row for row in await summed("day")}
    return Figures(
        days=days,
        since=since,
        until=until,
        total=sum(row["cost_nano_usd"] for row in by_day.values()),
        requests=sum(row["requests"] for row in by_day.values()),
        uncertain=sum(row["uncertain_attempts"] for row in by_day.values()),
        unpriced=sum(row["unpriced_attempts"] for row in by_day.values()),
        by={name: bars(await summed(name), name) for name in ("project", "provider", "model")},
        columns=columns(by_day, since, days),
        budgets=await left(connection, pipe, now=now),
        anomalies=await watching.recent(connection, most=20),
    )


def bars(rows: list[dict[str, Any]], name: str) -> list[Bar]:
    """The largest first; what is beyond :data:`MOST_ROWS` becomes one row."""
    ranked = sorted(rows, key=lambda row: (-row["cost_nano_usd"], str(row[name])))
    named = [(str(row[name]), row["cost_nano_usd"], row["requests"]) for row in ranked]
    if len(named) > MOST_ROWS:
        rest = named[MOST_ROWS - 1 :]
        many = (f"{len(rest)} others", sum(cost for _, cost, _ in rest), sum(count for _, _, count in rest))
        named = [*named[: MOST_ROWS - 1], many]
    longest = max((cost for _, cost, _ in named), default=0)
    return [
        Bar(label, cost, requests, round(100 * max(0, cost) / longest, 2) if longest > 0 else 0.0)
        for label, cost, requests in named
    ]


def columns(by_day: dict[date, dict[str, Any]], since: date, days: int) -> list[Column]:
    """One column a day, also for days of nothing."""
    highest = max((row["cost_nano_usd"] for row in by_day.values()), default=0)
    step = 100 / days
    found = []
    for number in range(days):
        day = since + timedelta(days=number)
        row = by_day.get(day, {"cost_nano_usd": 0, "requests": 0})
        cost = row["cost_nano_usd"]
        height = round(100 * max(0, cost) / highest, 2) if highest > 0 else 0.0
        found.append(
            Column(day, cost, row["requests"], round(number * step + step * 0.12, 3), round(step * 0.76, 3), height)
        )
    return found
