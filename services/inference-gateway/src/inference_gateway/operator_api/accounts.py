"""Operators' routes for projects, keys and budgets."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain.budgets import MAX_LIMIT
from ..store import accounts
from .answers import json_answer


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewProject(_Strict):
    """A project to make."""

    name: str = Field(min_length=1, max_length=100)
    organisation: str = "default"
    cost_centre: str | None = None
    allow_unpriced: bool = False
    private: bool = False
    zdr: bool = False
    regions: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()


class ProjectChange(_Strict):
    """Fields of a project to change; what is not given stays."""

    cost_centre: str | None = None
    allow_unpriced: bool | None = None
    private: bool | None = None
    zdr: bool | None = None
    regions: tuple[str, ...] | None = None
    preferred: tuple[str, ...] | None = None
    blocked: str | None = None
    throttle_requests_per_minute: int | None = Field(default=None, ge=0, le=MAX_LIMIT)
    throttle_minutes: int = Field(default=60, ge=1, le=7 * 1440)


class NewKey(_Strict):
    """A key to make."""

    project: str
    name: str = Field(min_length=1, max_length=100)
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    cost_centre: str | None = None
    expires_at: datetime | None = None


class Rotation(_Strict):
    """How long the old secret goes on working, in seconds; a day if not given."""

    grace_seconds: int = Field(default=86_400, ge=0, le=90 * 86_400)


class NewBudget(_Strict):
    """A budget to set. ``scope_id`` is the id of the organisation, project or key."""

    scope: Literal["organisation", "project", "key"]
    scope_id: str
    metric: Literal["nano_usd", "tokens", "requests", "concurrency"]
    window: Literal["minute", "day", "month", "total"]
    limit: int = Field(ge=0, le=MAX_LIMIT)


def account_routes(engine: AsyncEngine) -> APIRouter:
    """What requests are admitted by. A change reaches every replica by the database's notification."""
    routes = APIRouter(prefix="/gateway/admin")

    @routes.post("/projects", status_code=201)
    async def make_project(new: NewProject) -> Response:
        async with engine.begin() as connection:
            project_id = await accounts.make_project(connection, **new.model_dump())
        return json_answer({"id": project_id}, 201)

    @routes.patch("/projects/{project}")
    async def change_project(project: str, change: ProjectChange) -> Response:
        fields = change.model_dump(exclude_unset=True)
        for name in fields.keys() & {"preferred", "regions"}:
            fields[name] = list(fields[name] or ())
        async with engine.begin() as connection:
            await _found(accounts.change_project(connection, project, **fields))
        return json_answer({"id": project})

    @routes.post("/keys", status_code=201)
    async def make_key(new: NewKey) -> Response:
        async with engine.begin() as connection:
            key_id, key = await _found(accounts.make_key(connection, **new.model_dump()))
        return json_answer({"id": key_id, "key": key}, 201)

    @routes.post("/keys/{key_id}/rotate")
    async def rotate_key(key_id: str, rotation: Rotation) -> Response:
        grace = timedelta(seconds=rotation.grace_seconds)
        async with engine.begin() as connection:
            try:
                key = await accounts.rotate_key(connection, key_id, at=datetime.now(UTC), grace=grace)
            except accounts.NoSuchKey as error:
                raise HTTPException(404, "no such key, or it is revoked") from error
        return json_answer({"id": key_id, "key": key})

    @routes.delete("/keys/{key_id}")
    async def revoke_key(key_id: str) -> Response:
        async with engine.begin() as connection:
            if not await accounts.revoke_key(connection, key_id, at=datetime.now(UTC)):
                raise HTTPException(404, "no such key, or it is revoked already")
        return json_answer({"id": key_id})

    @routes.put("/budgets")
    async def set_budget(new: NewBudget) -> Response:
        async with engine.begin() as connection:
            budget_id = await accounts.set_budget(connection, **new.model_dump())
        return json_answer({"id": budget_id})

    @routes.delete("/budgets/{budget_id}")
    async def remove_budget(budget_id: str) -> Response:
        async with engine.begin() as connection:
            if not await accounts.remove_budget(connection, budget_id):
                raise HTTPException(404, "no such budget")
        return json_answer({"id": budget_id})

    for what in ("organisations", "projects", "keys", "budgets"):
        routes.add_api_route(f"/{what}", _listing(engine, what), methods=["GET"], name=f"list_{what}")
    return routes


def _listing(engine: AsyncEngine, what: str) -> Any:
    async def rows() -> Response:
        async with engine.connect() as connection:
            return json_answer(await accounts.list_rows(connection, what))

    return rows


async def _found(work: Any) -> Any:
    try:
        return await work
    except accounts.NoSuchProject as error:
        raise HTTPException(404, f"no such project: {error}") from error
