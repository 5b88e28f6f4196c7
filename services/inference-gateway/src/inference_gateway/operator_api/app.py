"""The operators' app, under `/gateway`: each file beside this one adds its routes. The key is checked in front."""

from fastapi import FastAPI, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.problems import answer_with_problems, problem
from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from ..configuration import Configuration
from ..domain.errors import GatewayError
from ..store.resp import RedisPipe
from ..store.snapshot import Snapshots
from ..store.vault import Vault
from .accounts import account_routes
from .anomalies import anomaly_routes
from .credentials import credential_routes
from .fleet import fleet_routes
from .page import page_routes
from .providers import provider_routes
from .usage import usage_routes


def operator_api(
    engine: AsyncEngine, snapshots: Snapshots, vault: Vault, pipe: RedisPipe, configuration: Configuration
) -> FastAPI:
    """The operators' app. Changes reach every replica by the database's notification."""
    app = FastAPI(
        title="Shipjury inference gateway, operators",
        openapi_url="/gateway/openapi.json",
        docs_url=None,
        telemetry=FRAMEWORK_SILENT,
    )

    answer_with_problems(app)

    @app.exception_handler(GatewayError)
    async def bad_parameter(_: Request, error: GatewayError) -> Response:
        return problem(error.status, error.message, code=error.code)

    app.include_router(fleet_routes(engine))
    app.include_router(account_routes(engine))
    app.include_router(usage_routes(engine))
    app.include_router(provider_routes(snapshots, configuration))
    app.include_router(anomaly_routes(engine))
    app.include_router(page_routes(engine, pipe, configuration))
    app.include_router(credential_routes(engine, snapshots, vault))
    return app
