"""Operators' routes for providers: what is offered, at which price, what can't be called and why; and reading anew."""

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from shipjury_delivery.problems import problem

from ..configuration import Configuration, Standing
from ..store.manifests import as_json
from ..store.snapshot import Snapshots
from .answers import json_answer


def provider_routes(snapshots: Snapshots, configuration: Configuration) -> APIRouter:
    """Providers as this replica has them."""
    routes = APIRouter(prefix="/gateway/admin")

    @routes.get("/providers")
    async def providers() -> Response:
        today = datetime.now(UTC).date()
        by_model = snapshots.current.catalogue.by_model
        seen = {one.id: one for deployments in by_model.values() for one in deployments}
        return json_answer([as_json(one, today) | {"refuse": one.refuse} for one in seen.values()])

    @routes.get("/configuration")
    async def standing() -> Response:
        return json_answer(_told(configuration.standing))

    @routes.post("/configuration/reload")
    async def reload() -> Response:
        now = await configuration.reload()
        if now.problems:
            detail = "the old provider files stay in force; mend the new ones"
            errors = [one.as_json() for one in now.problems]
            return problem(422, f"the provider files are bad: {detail}", errors=errors)
        return json_answer(_told(now))

    return routes


def _told(standing: Standing) -> dict[str, object]:
    return {
        "in_force_since": standing.since,
        "providers": standing.providers,
        "problems": [one.as_json() for one in standing.problems],
    }
