"""Fills a gateway's database with days of spend, budgets and an open anomaly: `python -m tests.browser.days_of_spend`.

Run as a process of its own, because Playwright's synchronous side and asyncio do not go together in one thread.
Arguments: the database's URL and today's date.
"""

import asyncio
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from uuid_utils import uuid7

from inference_gateway.store import accounts, watching
from inference_gateway.store.tables import budgets, ledger
from inference_gateway.store.watching import Rates
from shipjury_delivery.migrations import upgrade

USED = (
    # project, provider, model, days ago, nano-USD of a request, requests
    ("research", "groq", "llama-3.3-70b", 0, 1_250_000_000, 4),
    ("research", "openai", "gpt-4.1", 2, 2_000_000_001, 1),
    ("<b>support</b>", "groq", "llama-3.3-70b", 1, 500_000_000, 3),
)


async def fill(url: str, today: date) -> None:
    """Migrate the database and write everything."""
    await upgrade("inference_gateway", url)
    engine = create_async_engine(url)
    now = datetime.now(UTC)
    async with engine.begin() as connection:
        named = {name: await accounts.make_project(connection, name) for name in ("research", "<b>support</b>")}
        rows = [
            _row(named[project], provider, model, today - timedelta(days=ago), nano_usd)
            for project, provider, model, ago, nano_usd, count in USED
            for _ in range(count)
        ]
        await connection.execute(sa.insert(ledger), rows)
        await accounts.set_budget(connection, "project", named["research"], "nano_usd", "total", 10_000_000_000)
        await accounts.set_budget(connection, "project", named["<b>support</b>"], "requests", "total", 100)
        await connection.execute(sa.update(budgets).values(created_at=now - timedelta(days=20)))
        await accounts.change_project(connection, named["<b>support</b>"], throttle_requests_per_minute=5)
        await watching.open_anomaly(
            connection,
            (named["<b>support</b>"], "llama-3.3-70b", "repeats"),
            Rates(900_000_000, 50_000_000, 612.5, 30.0),
            since=now - timedelta(seconds=21),
            now=now,
        )
    await engine.dispose()


def _row(project: str, provider: str, model: str, day: date, nano_usd: int) -> dict[str, Any]:
    return {
        "entry_id": str(uuid7()),
        "kind": "attempt",
        "attempt_id": str(uuid7()),
        "request_id": str(uuid7()),
        "first_attempt": True,
        "organisation_id": "default",
        "project_id": project,
        "key_id": "k",
        "provider": provider,
        "model": model,
        "route": "/v1/chat/completions",
        "outcome": "ok",
        "cost_nano_usd": nano_usd,
        "started_at": datetime.combine(day, time(0, 0, 1), UTC),
        "duration_ms": 100,
        "usage_day": day,
    }


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1], date.fromisoformat(sys.argv[2])))
