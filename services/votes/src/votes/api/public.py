"""Readers' routes: cast, withdraw, look, follow live, and take the log home to recount it."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.problems import documented
from shipjury_delivery.telemetry import FRAMEWORK_SILENT, current_traceparent

from ..domain import Doubt, Limits, StaleVersion, Vote, doubt, retry_after
from ..store import log, tools
from ..store.admission import Admission
from ..store.ballots import RetiredTool, Standing, UnknownTool, Write, standing
from ..store.patience import Unavailable, patiently
from ..store.secrets import DailySalt
from ..store.writer import Overloaded, Writer
from .documents import Choice, LogPage, Tally, View, entry_of, tally_of, view_of, vote_of
from .guards import own_path, refuse_other_sites
from .live import Live, TooManyStreams
from .problems import Problem, answer_all, in_words, retry_later
from .voters import Voter, Voters

PRIVATE = {"Cache-Control": "private, no-store"}
NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    engine: AsyncEngine
    writer: Writer
    admission: Admission
    voters: Voters
    salt: DailySalt
    live: Live
    limits: Limits = field(default_factory=Limits)
    stream_tools: int = 50
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def public_app(parts: Parts) -> Any:
    """The readers' app."""
    app = FastAPI(
        title="Shipjury votes", version="1", docs_url=None, redoc_url=None, openapi_url=None, telemetry=FRAMEWORK_SILENT
    )
    app.state.parts = parts
    answer_all(app)
    app.include_router(routes)
    return app


def _parts(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


Here = Annotated[Parts, Depends(_parts)]
ToolId = Annotated[UUID, Path(description="Id of the tool.")]
routes = APIRouter(prefix="/votes", tags=["readers"])


@routes.get(
    "/stream",
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **documented(404, 422, 503)},
    response_class=StreamingResponse,
)
async def follow(
    here: Here, tools_: Annotated[str, Query(alias="tools", max_length=4000, description="Tool ids, by commas.")]
) -> Response:
    """Server-Sent Events: the tally of each tool now, then each change. `id` is `<tool_id>:<version>`."""
    followed = _tool_ids(tools_, here.stream_tools)
    known = await patiently(here.engine, lambda connection: tools.known_tools(connection, followed))
    if not known:
        raise Problem(404, "None of these tools is known.")
    try:
        here.live.check_room()
    except TooManyStreams:
        raise retry_later(10, 503, "Too many live streams are open; try again later.") from None
    return StreamingResponse(
        here.live.events([tool_id for tool_id in followed if tool_id in known], _frame),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@routes.get("/{tool_id}", response_model=View, responses=documented(404, 422, 503))
async def look(here: Here, request: Request, tool_id: ToolId) -> Response:
    """The tally of a tool, and the reader's own vote."""
    voter = here.voters.of(request)
    return _answer(here, request, voter, await _standing(here, str(tool_id), voter), lasting=False)


@routes.put("/{tool_id}", response_model=View, responses=documented(400, 403, 404, 409, 410, 413, 422, 429, 503))
async def vote(here: Here, request: Request, tool_id: ToolId, choice: Choice) -> Response:
    """Cast or change a vote. Answered when it is stored for good; the tally follows within moments."""
    refuse_other_sites(request)
    voter = here.voters.of(request)
    return _answer(here, request, voter, await _cast(here, request, tool_id, voter, choice.verdict, choice.version))


@routes.delete("/{tool_id}", response_model=View, responses=documented(403, 404, 409, 422, 429, 503))
async def withdraw(
    here: Here,
    request: Request,
    tool_id: ToolId,
    version: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="`my_version` as last seen.")] = None,
) -> Response:
    """Take a vote back. Its version stays on record, so that an older request that comes late changes nothing."""
    refuse_other_sites(request)
    voter = here.voters.of(request)
    return _answer(here, request, voter, await _cast(here, request, tool_id, voter, "withdrawn", version))


@routes.post(
    "/{tool_id}",
    status_code=303,
    response_class=RedirectResponse,
    responses={**in_words(403, 404, 410, 429, 503), **documented(400, 413, 422)},
)
async def vote_by_form(
    here: Here,
    request: Request,
    tool_id: ToolId,
    verdict: Annotated[Literal["ship", "skip", "withdraw"], Form(description="The verdict, or taking it back.")],
    back: Annotated[str, Form(max_length=2000, description="Path on this site to go back to.")] = "/",
) -> Response:
    """The same for pages without JavaScript: a plain form, then back to the page."""
    voter = here.voters.of(request)
    try:
        refuse_other_sites(request)
        chosen: Vote = "withdrawn" if verdict == "withdraw" else verdict
        await _cast(here, request, tool_id, voter, chosen, None)
    except Problem as error:
        return _page(error, own_path(back))
    except (Overloaded, Unavailable) as error:
        return _page(retry_later(error.retry_after, 503, "Votes can't be taken right now."), own_path(back))
    response = RedirectResponse(own_path(back), status_code=303, headers=PRIVATE)
    here.voters.remember(request, response, voter, lasting=True)
    return response


@routes.get(
    "/{tool_id}/log",
    response_model=LogPage,
    responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}}, **documented(404, 422, 503)},
)
async def read_log(
    here: Here,
    request: Request,
    tool_id: ToolId,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Sequence behind which to begin.")] = 0,
    limit: Annotated[int, Query(ge=1, le=log.PAGE, description="Most entries of a page.")] = log.PAGE,
    format_: Annotated[
        Literal["json", "ndjson"] | None,
        Query(alias="format", description="ndjson: the whole rest, an entry a line; also by `Accept`."),
    ] = None,
) -> Response:
    """The log of a tool, a hash chain that anyone can recount; the README of the service says how."""
    tool = str(tool_id)
    await _standing(here, tool, None)
    headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
    if format_ == "ndjson" or (format_ is None and NDJSON in request.headers.get("accept", "")):
        return StreamingResponse(_lines(here.engine, tool, after), media_type=NDJSON, headers=headers)
    page = await patiently(here.engine, lambda connection: log.page(connection, tool, after, limit))
    last = page.entries[-1][0].sequence if page.entries else after
    body = {
        "tool_id": tool,
        "length": page.head.length,
        "head": page.head.hash,
        "entries": [entry_of(*pair) for pair in page.entries],
        "next": last if last < page.head.length else None,
    }
    return JSONResponse(body, headers=headers)


async def _cast(
    here: Parts, request: Request, tool_id: UUID, voter: Voter, chosen: Vote, expected: int | None
) -> Standing:
    """A request becomes a committed vote, or a problem."""
    tool, now = str(tool_id), here.clock()
    visit = here.voters.visit(request, tool, voter, await here.salt.at(now))
    seen = await here.admission.observe(visit)
    if seen is not None and (wait := retry_after(seen, here.limits)) is not None:
        raise retry_later(wait.total_seconds(), 429, "These are more votes than one reader casts; wait a little.")
    write = Write(
        tool_id=tool,
        voter=here.voters.pseudonym(tool, voter),
        vote=chosen,
        at=now,
        expected=expected,
        doubt=Doubt.UNCHECKED if seen is None else doubt(seen, here.limits),
        network=visit.network,
        signal=visit.signal,
        traceparent=current_traceparent(),
    )
    try:
        return await here.writer.submit(write)
    except UnknownTool:
        raise Problem(404, f"There is no tool {tool}.") from None
    except RetiredTool:
        raise Problem(410, "The tool is retired; its tally stays as it is, and votes may only be withdrawn.") from None
    except StaleVersion as error:
        raise Problem(
            409,
            "The vote has changed since; `current` is how it stands. Decide again.",
            current=await _current(here, tool, voter) if error.current is None else vote_of(error.current),
        ) from None


async def _current(here: Parts, tool: str, voter: Voter) -> dict[str, Any]:
    return view_of(await _standing(here, tool, voter))


async def _standing(here: Parts, tool: str, voter: Voter | None) -> Standing:
    name = here.voters.pseudonym(tool, voter) if voter else None
    try:
        return await patiently(here.engine, lambda connection: standing(connection, tool, name))
    except UnknownTool:
        raise Problem(404, f"There is no tool {tool}.") from None


def _answer(here: Parts, request: Request, voter: Voter, found: Standing, *, lasting: bool = True) -> Response:
    response = JSONResponse(view_of(found), headers=PRIVATE)
    if lasting or voter.is_new:
        here.voters.remember(request, response, voter, lasting=lasting)
    return response


def _tool_ids(text: str, most: int) -> list[str]:
    try:
        ids = [str(UUID(part.strip())) for part in text.split(",") if part.strip()]
    except ValueError:
        raise Problem(422, "`tools` takes tool ids, separated by commas.") from None
    if not 1 <= len(ids) <= most:
        raise Problem(422, f"`tools` takes 1 to {most} tool ids.")
    return list(dict.fromkeys(ids))


def _frame(tool_id: str, head: Any) -> str:
    return json.dumps(tally_of(tool_id, head), separators=(",", ":"))


async def _lines(engine: AsyncEngine, tool: str, after: int) -> AsyncIterator[str]:
    async for entry, shown in log.entries(engine, tool, after):
        yield json.dumps(entry_of(entry, shown), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def _page(error: Problem, back: str) -> Response:
    """A few words for a reader whose browser sent a form."""
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="/static/site.css"><title>Your vote was not taken</title>'
        f'<main><h1>Your vote was not taken</h1><p>{escape(error.detail)}</p><p><a href="{escape(back)}">Back</a></p>'
        "</main></html>"
    )
    return HTMLResponse(body, error.status, {**PRIVATE, **(error.headers or {})})


__all__ = ["Parts", "Tally", "public_app", "routes"]
