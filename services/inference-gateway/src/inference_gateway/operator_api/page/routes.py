"""The page's routes: `/gateway/`, its files, and the one thing that a person decides there."""

from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, HTTPException, Query, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy.ext.asyncio import AsyncEngine

from ...configuration import Configuration
from ...store import watching
from ...store.resp import RedisPipe
from . import words
from .figures import PERIODS, figures

_TYPES = {
    "gateway.css": "text/css; charset=utf-8",
    "newsreader-docket.woff2": "font/woff2",
    "newsreader-OFL.txt": "text/plain; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page_routes(engine: AsyncEngine, pipe: RedisPipe, configuration: Configuration) -> APIRouter:
    """The page. Everything on it is read when it is asked for."""
    routes = APIRouter(prefix="/gateway", include_in_schema=False)
    environment = Environment(
        loader=PackageLoader("inference_gateway.operator_api.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        name: getattr(words, name) for name in ("money", "count", "amount", "moment", "share", "UNITS")
    }
    environment.globals |= {"static": _address, "periods": PERIODS}
    template = environment.get_template("page.html")

    @routes.get("/")
    async def page(days: int = Query(30, ge=1, le=366)) -> Response:
        now = datetime.now(UTC)
        async with engine.connect() as connection:
            shown = await figures(connection, pipe, days=days, now=now)
        text = template.render(shown=shown, now=now, standing=configuration.standing)
        return Response(text, media_type="text/html; charset=utf-8", headers=_HEADERS)

    @routes.post("/anomalies/{anomaly_id}/lift")
    async def lift(anomaly_id: str) -> Response:
        async with engine.begin() as connection:
            if not await watching.lift(connection, anomaly_id, now=datetime.now(UTC)):
                raise HTTPException(404, "no such anomaly, or there is nothing to lift")
        return Response(status_code=303, headers={"location": "/gateway/#anomalies"})

    @routes.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in _TYPES:
            raise HTTPException(404, "not found")
        headers = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
        return Response(_file(name), media_type=_TYPES[name], headers=headers)

    return routes


@cache
def _file(name: str) -> bytes:
    return (files("inference_gateway.operator_api.page") / "static" / name).read_bytes()


def _address(name: str) -> Any:
    """A file's address, which changes with its content."""
    return f"/gateway/static/{name}?{sha256(_file(name)).hexdigest()[:12]}"
