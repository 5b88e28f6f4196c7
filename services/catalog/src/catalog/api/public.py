"""The readers' app: routes, errors as pages, headers on everything."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from . import bookmarks, list_pages, machines, tool_pages
from .answers import HTML, Secured
from .site import Moved, NotFound, Site


def public_app(site: Site) -> Any:
    """The app that answers every path that is no other service's."""
    app = FastAPI(title="Shipjury site", docs_url=None, redoc_url=None, openapi_url=None, telemetry=FRAMEWORK_SILENT)
    for part in (machines, tool_pages, list_pages, bookmarks):
        app.include_router(part.routes(site))

    @app.exception_handler(NotFound)
    async def not_found(request: Request, error: NotFound) -> Response:
        return await site.not_found(request, error)

    @app.exception_handler(Moved)
    async def moved(_: Request, error: Moved) -> Response:
        return RedirectResponse(error.address, status_code=301)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return await site.not_found(request, NotFound("There is no such page.", request.url.path.strip("/")))
        return _page(site, request, error.status_code, "This cannot be done", str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, _: RequestValidationError) -> Response:
        return _page(site, request, 422, "This cannot be read", "Something in the address is not what it should be.")

    @app.exception_handler(DBAPIError)
    @app.exception_handler(OSError)
    async def away(request: Request, _: Exception) -> Response:
        said = "The record cannot be read just now. Please try again in a moment."
        return _page(site, request, 503, "One moment", said, {"Retry-After": "5"})

    return Secured(app)


def _page(site: Site, request: Request, status: int, heading: str, said: str, headers: Any = None) -> Response:
    body = site.draw(request, "error.html", status=status, heading=heading, said=said, suggestions=())
    return Response(body, status_code=status, media_type=HTML, headers={"Cache-Control": "no-store", **(headers or {})})
