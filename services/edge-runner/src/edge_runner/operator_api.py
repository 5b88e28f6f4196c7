"""Operators' routes of a node: is it alive, is it ready, what does it measure."""

import orjson
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shipjury_delivery.problems import answer_with_problems, problem
from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from .node import Node
from .observed import Meter

OPEN = ("/edge/healthz", "/edge/readyz", "/edge/metrics")


def closed_api(app: ASGIApp) -> ASGIApp:
    """The open routes alone: what a node without an operators' key has."""

    async def only_open(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            await problem(404, "set EDGE_OPERATOR_KEY to use operators' routes")(scope, receive, send)
            return
        await app(scope, receive, send)

    return only_open


def operator_api(node: Node, meter: Meter) -> FastAPI:
    """The app of ``/edge`` on the operators' port."""
    app = FastAPI(
        title="Shipjury edge runner, operators",
        version="1",
        openapi_url="/edge/openapi.json",
        docs_url=None,
        telemetry=FRAMEWORK_SILENT,
    )
    answer_with_problems(app)

    @app.get("/edge/healthz")
    async def healthz() -> Response:
        """The runner answers: it lives, whatever its engines do."""
        return Response("ok\n", media_type="text/plain")

    @app.get("/edge/readyz")
    async def readyz() -> Response:
        """200 when a model has answered a real generation and the node is not draining."""
        body = {
            "state": node.state,
            "cordoned": node.closed,
            "generation": node.generation,
            "memory_bytes": node.memory_bytes,
            "not_held": {
                name: {"code": trouble.code, "reason": trouble.text, "progress": trouble.progress}
                for name, trouble in node.troubles.items()
            },
            "models": {
                name: {
                    "state": holding.state,
                    "reason": holding.supervisor.status.failure.text if holding.supervisor.status.failure else None,
                    "restarts": holding.supervisor.status.restarts,
                    "tokens_per_second": holding.supervisor.status.tokens_per_second,
                    "start_seconds": holding.supervisor.status.start_seconds,
                    "resident_bytes": holding.resident_bytes(),
                    "estimated_bytes": holding.needs,
                    "running": holding.gate.running,
                    "waiting": holding.gate.waiting,
                }
                for name, holding in node.holdings.items()
            },
        }
        return Response(orjson.dumps(body), 200 if node.state == "ready" else 503, media_type="application/json")

    @app.get("/edge/metrics")
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(await meter.page(), media_type="text/plain; version=0.0.4")

    return app
