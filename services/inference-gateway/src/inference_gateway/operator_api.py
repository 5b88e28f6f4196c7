"""Operators' routes under `/gateway/admin`: projects, keys, budgets, providers, usage. The key is checked in front."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from .api.public import as_csv, read_groups
from .domain.budgets import MAX_LIMIT
from .domain.errors import GatewayError
from .store import accounts
from .store import usage as usage_store
from .store.manifests import as_json
from .store.snapshot import Snapshots


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewProject(_Strict):
    """A project to make."""

    name: str = Field(min_length=1, max_length=100)
    organisation: str = "default"
    cost_centre: str | None = None
    allow_unpriced: bool = False
    private: bool = False
    preferred: tuple[str, ...] = ()


class ProjectChange(_Strict):
    """Fields of a project to change; what is not given stays."""

    cost_centre: str | None = None
    allow_unpriced: bool | None = None
    private: bool | None = None
    preferred: tuple[str, ...] | None = None
    blocked: str | None = None


class NewKey(_Strict):
    """A key to make."""

    project: str
    name: str = Field(min_length=1, max_length=100)
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    cost_centre: str | None = None
    expires_at: datetime | None = None


class NewBudget(_Strict):
    """A budget to set. ``scope_id`` is the id of the organisation, project or key."""

    scope: Literal["organisation", "project", "key"]
    scope_id: str
    metric: Literal["nano_usd", "tokens", "requests", "concurrency"]
    window: Literal["minute", "day", "month", "total"]
    limit: int = Field(ge=0, le=MAX_LIMIT)


def operator_api(engine: AsyncEngine, snapshots: Snapshots) -> FastAPI:
    """The operators' app. Changes reach every replica by the database's notification."""
    app = FastAPI(title="Shipjury inference gateway, operators", openapi_url="/gateway/openapi.json", docs_url=None)

    @app.exception_handler(HTTPException)
    async def problem(_: Request, error: HTTPException) -> Response:
        body = {"type": "about:blank", "title": str(error.detail), "status": error.status_code, "detail": error.detail}
        return Response(orjson.dumps(body), error.status_code, media_type="application/problem+json")

    @app.exception_handler(GatewayError)
    async def bad_parameter(_: Request, error: GatewayError) -> Response:
        body = {"type": "about:blank", "title": error.code, "status": error.status, "detail": error.message}
        return Response(orjson.dumps(body), error.status, media_type="application/problem+json")

    @app.get("/gateway/admin/providers")
    async def providers() -> Response:
        today = datetime.now(UTC).date()
        by_model = snapshots.current.catalogue.by_model
        seen = {one.id: one for deployments in by_model.values() for one in deployments}
        return _json([as_json(one, today) | {"refuse": one.refuse} for one in seen.values()])

    @app.get("/gateway/admin/usage")
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
        return as_csv(rows) if as_ == "csv" else _json(rows)

    @app.post("/gateway/admin/projects", status_code=201)
    async def make_project(new: NewProject) -> Response:
        async with engine.begin() as connection:
            project_id = await accounts.make_project(connection, **new.model_dump())
        return _json({"id": project_id}, 201)

    @app.patch("/gateway/admin/projects/{project}")
    async def change_project(project: str, change: ProjectChange) -> Response:
        fields = change.model_dump(exclude_unset=True)
        if "preferred" in fields:
            fields["preferred"] = list(fields["preferred"] or ())
        async with engine.begin() as connection:
            await _found(accounts.change_project(connection, project, **fields))
        return _json({"id": project})

    @app.post("/gateway/admin/keys", status_code=201)
    async def make_key(new: NewKey) -> Response:
        async with engine.begin() as connection:
            key_id, key = await _found(accounts.make_key(connection, **new.model_dump()))
        return _json({"id": key_id, "key": key}, 201)

    @app.delete("/gateway/admin/keys/{key_id}")
    async def revoke_key(key_id: str) -> Response:
        async with engine.begin() as connection:
            if not await accounts.revoke_key(connection, key_id, at=datetime.now(UTC)):
                raise HTTPException(404, "no such key, or it is revoked already")
        return _json({"id": key_id})

    @app.put("/gateway/admin/budgets")
    async def set_budget(new: NewBudget) -> Response:
        async with engine.begin() as connection:
            budget_id = await accounts.set_budget(connection, **new.model_dump())
        return _json({"id": budget_id})

    @app.delete("/gateway/admin/budgets/{budget_id}")
    async def remove_budget(budget_id: str) -> Response:
        async with engine.begin() as connection:
            if not await accounts.remove_budget(connection, budget_id):
                raise HTTPException(404, "no such budget")
        return _json({"id": budget_id})

    @app.get("/gateway/admin/{what}")
    async def rows(what: str) -> Response:
        if what not in ("organisations", "projects", "keys", "budgets"):
            raise HTTPException(404, "not found")
        async with engine.connect() as connection:
            return _json(await accounts.list_rows(connection, what))

    return app


async def _found(work: Any) -> Any:
    try:
        return await work
    except accounts.NoSuchProject as error:
        raise HTTPException(404, f"no such project: {error}") from error


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
