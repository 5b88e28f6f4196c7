"""Operators' routes for what was used and what it cost, over all projects."""

from datetime import UTC, date, datetime, timedelta

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from ..api.public import as_csv, read_groups
from ..store import usage as usage_store
from .answers import json_answer


def usage_routes(engine: AsyncEngine) -> APIRouter:
    """Usage, summed from the ledger."""
    routes = APIRouter(prefix="/gateway/admin")

    @routes.get("/usage")
    async def used(
        group_by: str = "project,day", since: date | None = None, until: date | None = None, as_: str = "json"
    ) -> Response:
        today = datetime.now(UTC).date()
        async with engine.connect() as connection:
            rows = await usage_store.usage(
                connection,
                group_by=read_groups(group_by),
                since=since or today - timedelta(days=30),
                until=until or today,
            )
        return as_csv(rows) if as_ == "csv" else json_answer(rows)

    return routes
