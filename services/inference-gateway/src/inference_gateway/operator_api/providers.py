"""Operators' routes for providers: what is offered, at which price, and what can't be called and why."""

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from ..store.manifests import as_json
from ..store.snapshot import Snapshots
from .answers import json_answer


def provider_routes(snapshots: Snapshots) -> APIRouter:
    """Providers as this replica has them."""
    routes = APIRouter(prefix="/gateway/admin")

    @routes.get("/providers")
    async def providers() -> Response:
        today = datetime.now(UTC).date()
        by_model = snapshots.current.catalogue.by_model
        seen = {one.id: one for deployments in by_model.values() for one in deployments}
        return json_answer([as_json(one, today) | {"refuse": one.refuse} for one in seen.values()])

    return routes
