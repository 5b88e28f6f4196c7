"""The operators' app, under `/gateway`: each file beside this one adds its routes. The key is checked in front."""

from fastapi import FastAPI, HTTPException, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain.errors import GatewayError
from ..store.snapshot import Snapshots
from .accounts import account_routes
from .answers import problem
from .fleet import fleet_routes
from .providers import provider_routes
from .usage import usage_routes


def operator_api(engine: AsyncEngine, snapshots: Snapshots) -> FastAPI:
    """The operators' app. Changes reach every replica by the database's notification."""
    app = FastAPI(title="Shipjury inference gateway, operators", openapi_url="/gateway/openapi.json", docs_url=None)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), str(error.detail))

    @app.exception_handler(GatewayError)
    async def bad_parameter(_: Request, error: GatewayError) -> Response:
        return problem(error.status, error.code, error.message)

    app.include_router(fleet_routes(engine))
    app.include_router(account_routes(engine))
    app.include_router(usage_routes(engine))
    app.include_router(provider_routes(snapshots))
    return app
