"""Operators' routes for anomalies: what spends out of its pattern, and the throttle that a person lifts."""

from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException, Query, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from ..store import watching
from .answers import json_answer


def anomaly_routes(engine: AsyncEngine) -> APIRouter:
    """Anomalies, open ones first."""
    routes = APIRouter(prefix="/gateway/admin/anomalies")

    @routes.get("")
    async def recent(most: int = Query(50, ge=1, le=1000)) -> Response:
        async with engine.connect() as connection:
            return json_answer(await watching.recent(connection, most=most))

    @routes.post("/{anomaly_id}/lift")
    async def lift(anomaly_id: str) -> Response:
        async with engine.begin() as connection:
            if not await watching.lift(connection, anomaly_id, now=datetime.now(UTC)):
                raise HTTPException(404, "no such anomaly, or there is nothing to lift")
        return json_answer({"id": anomaly_id})

    return routes
