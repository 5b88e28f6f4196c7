"""A reader's bookmarks: plain forms, or PUT and DELETE from the page's module. A random cookie, no account."""

import hashlib
import secrets
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from shipjury_delivery.problems import problem
from shipjury_delivery.same_site import from_another_site

from ..store import bookmarks, lists
from .answers import HTML, PRIVATE
from .site import Site, newest_edges

COOKIE = "shipjury_reader"
COOKIE_SECONDS = 400 * 24 * 3600


def routes(site: Site) -> APIRouter:
    """The list and what changes it."""
    router = APIRouter()

    @router.get("/bookmarks")
    async def page(request: Request) -> Response:
        kept = await _kept(site, request)
        body = site.draw(request, "bookmarks.html", kept=kept, edges=newest_edges(kept))
        return Response(body, media_type=HTML, headers=PRIVATE)

    @router.get("/bookmarks.json")
    async def as_json(request: Request) -> Response:
        kept = await _kept(site, request)
        tools = [{"tool_id": one.tool_id, "slug": one.slug, "name": one.name} for one in kept]
        return JSONResponse({"tools": tools}, headers=PRIVATE)

    @router.put("/bookmarks/{tool_id}")
    async def keep(request: Request, tool_id: UUID) -> Response:
        return refused_from_elsewhere(request) or await _keep(site, request, tool_id, Response(status_code=204))

    @router.delete("/bookmarks/{tool_id}")
    async def drop(request: Request, tool_id: UUID) -> Response:
        return refused_from_elsewhere(request) or await _drop(site, request, tool_id, Response(status_code=204))

    @router.post("/bookmarks/{tool_id}")
    async def keep_by_form(request: Request, tool_id: UUID) -> Response:
        """A form's button; the answer shows the list, since the page itself is the same for everybody."""
        refused = refused_from_elsewhere(request)
        if refused:
            return refused
        form = await read_form(request)
        back = RedirectResponse("/bookmarks", status_code=303)
        if form.get("keep") == "no":
            return await _drop(site, request, tool_id, back)
        return await _keep(site, request, tool_id, back)

    @router.post("/bookmarks")
    async def drop_by_form(request: Request) -> Response:
        refused = refused_from_elsewhere(request)
        if refused:
            return refused
        form = await read_form(request)
        try:
            tool_id = UUID(form.get("drop", ""))
        except ValueError:
            return problem(422, "The field `drop` must be a tool's id.")
        return await _drop(site, request, tool_id, RedirectResponse("/bookmarks", status_code=303))

    return router


def refused_from_elsewhere(request: Request) -> Response | None:
    """403 where another site's page makes a reader's browser send this."""
    if from_another_site(request.headers):
        return problem(403, "Bookmarks change from this site's own pages only.")
    return None


async def read_form(request: Request) -> dict[str, str]:
    """A small form's fields. Raises a 422 for one of very many."""
    try:
        fields = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=100)
    except ValueError as error:
        raise HTTPException(422, "The form has more than 100 fields.") from error
    return {name: values[0] for name, values in fields.items()}


async def _kept(site: Site, request: Request) -> list[lists.Listed]:
    reader = _reader(request)
    if reader is None:
        return []
    async with site.engine.connect() as connection:
        return await lists.some_tools(connection, await bookmarks.of(connection, reader))


async def _keep(site: Site, request: Request, tool_id: UUID, answer: Response) -> Response:
    token = request.cookies.get(COOKIE) if _reader(request) else secrets.token_urlsafe(24)
    assert token is not None  # noqa: S101 - a reader has a cookie
    try:
        async with site.engine.begin() as connection:
            await bookmarks.keep(connection, _hashed(token), str(tool_id), now=site.clock())
    except bookmarks.TooManyBookmarks as error:
        return problem(409, str(error))
    answer.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )
    answer.headers.update(PRIVATE)
    return answer


async def _drop(site: Site, request: Request, tool_id: UUID, answer: Response) -> Response:
    reader = _reader(request)
    if reader is not None:
        async with site.engine.begin() as connection:
            await bookmarks.drop(connection, reader, str(tool_id))
    answer.headers.update(PRIVATE)
    return answer


def _reader(request: Request) -> bytes | None:
    token = request.cookies.get(COOKIE, "")
    return _hashed(token) if 20 <= len(token) <= 64 and token.isascii() else None


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
