"""What clients ask besides completions: models, usage, how a request went. FastAPI; nothing here is hot."""

import csv
import io
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from ..domain.catalogue import Deployment
from ..domain.errors import GatewayError
from ..domain.health import Health
from ..store import focus as focus_store
from ..store import usage as usage_store
from ..store.accounts import Account
from ..store.manifests import as_json
from ..store.snapshot import Snapshots


def public_api(
    engine: AsyncEngine,
    snapshots: Snapshots,
    authenticate: Callable[[Any], Account],
    health: dict[tuple[str, str], Health],
) -> FastAPI:
    """`/v1/models`, `/v1/usage`, `/v1/requests/{id}`; errors in OpenAI's shape."""
    app = FastAPI(
        title="Shipjury inference gateway",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=FRAMEWORK_SILENT,
    )

    @app.exception_handler(GatewayError)
    async def gateway_error(_: Request, error: GatewayError) -> Response:
        return _json(error.body(), error.status)

    @app.exception_handler(404)
    async def not_found(request: Request, _: Exception) -> Response:
        return _json(GatewayError("not_found", f"there is no {request.url.path}").body(), 404)

    @app.exception_handler(405)
    async def not_allowed(request: Request, _: Exception) -> Response:
        return _json(GatewayError("method_not_allowed", f"{request.url.path} does not take this method").body(), 405)

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        account = authenticate(request.scope)
        current = snapshots.current
        names = sorted({one.name for deployments in current.catalogue.by_model.values() for one in deployments})
        shown = [_model(name, current.deployments(name, account.project_id), account, health) for name in names]
        return _json({"object": "list", "data": [one for one in shown if one is not None]})

    @app.get("/v1/models/{model:path}")
    async def model(request: Request, model: str) -> Response:
        account = authenticate(request.scope)
        found = snapshots.current.deployments(model, account.project_id)
        shown = _model(model, found, account, health)
        if shown is None:
            raise GatewayError("model_not_found", f"no provider has a model `{model}`", param="model")
        return _json(shown)

    @app.get("/v1/requests/{request_id}")
    async def explained(request: Request, request_id: str) -> Response:
        account = authenticate(request.scope)
        async with engine.connect() as connection:
            found = await usage_store.request(connection, request_id, account.project_id)
        if found is None:
            raise GatewayError("not_found", "no request of this project has this id (or it is not in the ledger yet)")
        return _json(found)

    @app.get("/v1/usage")
    async def used(
        request: Request,
        group_by: str = "day,model",
        since: date | None = None,
        until: date | None = None,
        format: str = Query("json", pattern="^(json|csv|focus)$"),  # noqa: A002 - the API's own word
    ) -> Response:
        account = authenticate(request.scope)
        return await usage_answer(
            engine, group_by=group_by, since=since, until=until, form=format, project_id=account.project_id
        )

    return app


async def usage_answer(
    engine: AsyncEngine,
    *,
    group_by: str,
    since: date | None,
    until: date | None,
    form: str,
    project_id: str | None = None,
) -> Response:
    """Usage of the last 30 days, or from ``since`` to ``until``: as JSON, as CSV, or as FOCUS rows (CSV)."""
    today = datetime.now(UTC).date()
    since, until = since or today - timedelta(days=30), until or today
    groups = read_groups(group_by)
    async with engine.connect() as connection:
        if form == "focus":
            focus = await focus_store.focus(connection, since=since, until=until, project_id=project_id)
            name = f'attachment; filename="focus-{since}-{until}.csv"'
            return Response(
                focus_store.as_csv(focus),
                media_type="text/csv; charset=utf-8",
                headers={"content-disposition": name},
            )
        rows = await usage_store.usage(connection, group_by=groups, since=since, until=until, project_id=project_id)
    return as_csv(rows, groups) if form == "csv" else _json({"object": "list", "group_by": groups, "data": rows})


def read_groups(text: str) -> list[str]:
    """The columns of a `group_by` parameter. Raises ``invalid_parameter``."""
    groups = [{"user": "end_user"}.get(part.strip(), part.strip()) for part in text.split(",") if part.strip()]
    groups = list(dict.fromkeys(groups))
    unknown = [group for group in groups if group not in usage_store.GROUPS]
    if unknown or not groups:
        raise GatewayError(
            "invalid_parameter", f"`group_by` is some of {', '.join(usage_store.GROUPS)}", param="group_by"
        )
    return groups


def as_csv(rows: list[dict[str, Any]], groups: list[str]) -> Response:
    """Rows as CSV, with a header also where there is no row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=[*groups, *usage_store.SUMS])
    writer.writeheader()
    writer.writerows(rows)
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8")


def _model(
    name: str, deployments: tuple[Deployment, ...], account: Account, health: dict[tuple[str, str], Health]
) -> dict[str, Any] | None:
    """A model with its providers; ``None`` where the key may use none of them."""
    allowed = [
        one
        for one in deployments
        if (not account.policy.models or {one.name, one.model} & account.policy.models)
        and (not account.policy.providers or account.policy.providers & {one.provider, one.kind})
    ]
    if not allowed:
        return None
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": allowed[0].provider,
        "providers": [as_json(one, datetime.now(UTC).date()) | _live(one, health.get(one.id)) for one in allowed],
    }


def _live(deployment: Deployment, health: Health | None) -> dict[str, Any]:
    stale = deployment.beat_deadline is not None and time.time() > deployment.beat_deadline
    status = deployment.refuse or ("heartbeat_stale" if stale else None)
    if status is None and health is not None:
        status = health.refusal(time.monotonic())
    return {
        "status": status or "live",
        "ttft_ms": None if health is None or health.ttft_s is None else round(health.ttft_s * 1000, 1),
        "tokens_per_second": None if health is None else health.tokens_per_s,
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
