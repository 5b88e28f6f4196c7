"""Operators' routes for what was used and what it cost, over all projects."""

from datetime import date

from fastapi import APIRouter, HTTPException, Query, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from ..api.public import usage_answer
from ..store import accounts


def usage_routes(engine: AsyncEngine) -> APIRouter:
    """Usage, summed from the ledger: JSON, CSV, or FOCUS rows."""
    routes = APIRouter(prefix="/gateway/admin")

    @routes.get("/usage")
    async def used(
        group_by: str = "project,day",
        since: date | None = None,
        until: date | None = None,
        project: str | None = None,
        format: str = Query("json", pattern="^(json|csv|focus)$"),  # noqa: A002 - the API's own word
    ) -> Response:
        owner = None
        if project is not None:
            try:
                async with engine.connect() as connection:
                    owner = await accounts.project_id(connection, project)
            except accounts.NoSuchProject as error:
                raise HTTPException(404, f"no such project: {error}") from error
        return await usage_answer(engine, group_by=group_by, since=since, until=until, form=format, project_id=owner)

    return routes
