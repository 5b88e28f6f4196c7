"""Operators' routes, under ``/votes``: what is held, release, void, recount, and the OpenAPI document of all routes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.problems import documented, with_schema
from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from .api.problems import Problem, VoteProblem, answer_all
from .api.public import routes as readers
from .domain import Ballot, NothingToDecide, release, void
from .store import quarantine
from .store.patience import patiently
from .store.quarantine import Selection
from .store.recount import recount_all

Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""Text that Postgres can store."""


class HeldVote(BaseModel):
    """A vote in quarantine."""

    tool_id: str = Field(description="The tool.")
    slug: str | None = Field(description="The tool's name in addresses.")
    voter: str = Field(description="Pseudonym of the voter for this tool.")
    vote: str = Field(description="What the voter says.")
    reason: str | None = Field(description="Why it is held.")
    version: int = Field(description="Version of the vote.")
    cast_at: datetime = Field(description="When (UTC).")
    network: str | None = Field(description="Hash of the network, of that day only: equal ones came from one network.")


class HeldPage(BaseModel):
    """A page of held votes."""

    votes: list[HeldVote] = Field(description="In the order of tool and voter.")
    next: str | None = Field(description="`after` of the next page; null at the end.")


class Decision(BaseModel):
    """Which held votes are meant, and why. At least one of the conditions is needed."""

    model_config = ConfigDict(extra="forbid")

    tool_id: UUID | None = Field(default=None, description="Votes on this tool.")
    voter: Text | None = Field(default=None, max_length=64, description="The vote of this pseudonym.")
    held_for: Text | None = Field(default=None, max_length=200, description="Votes held for this reason.")
    network: Text | None = Field(default=None, max_length=64, description="Votes from this network (its hash).")
    reason: Text = Field(min_length=3, max_length=200, description="Why; it is published in the log.")

    @model_validator(mode="after")
    def _is_not_everything(self) -> "Decision":
        if not (self.tool_id or self.voter or self.held_for or self.network):
            raise ValueError("name a tool_id, voter, held_for or network")
        return self

    @property
    def selection(self) -> Selection:
        """The held votes that are meant."""
        return Selection(str(self.tool_id) if self.tool_id else None, self.voter, self.held_for, self.network)


class Decided(BaseModel):
    """What came of a decision."""

    votes: int = Field(description="Votes that were changed; an event tells of each.")


class Recounted(BaseModel):
    """A tool's tally against the one rebuilt from its log."""

    tool_id: str = Field(description="The tool.")
    length: int = Field(description="Length of its log.")
    problem: str | None = Field(description="What does not agree; null where all does.")


@dataclass(frozen=True)
class OperatorParts:
    """What the operators' routes work with."""

    engine: AsyncEngine
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def operator_app(parts: OperatorParts) -> FastAPI:
    """The operators' app. The key is asked for around it."""
    app = FastAPI(
        title="Shipjury votes", version="1", docs_url=None, redoc_url=None, openapi_url=None, telemetry=FRAMEWORK_SILENT
    )
    app.state.parts = parts
    answer_all(app)
    app.include_router(routes)
    return app


def _parts(request: Request) -> OperatorParts:
    return cast(OperatorParts, request.app.state.parts)


Here = Annotated[OperatorParts, Depends(_parts)]
routes = APIRouter(prefix="/votes", tags=["operators"])


@routes.get("/held", response_model=HeldPage, responses=documented(422, 503))
async def list_held(
    here: Here,
    tool_id: Annotated[UUID | None, Query(description="Only votes on this tool.")] = None,
    reason: Annotated[Text | None, Query(max_length=200, description="Only votes held for this reason.")] = None,
    network: Annotated[Text | None, Query(max_length=64, description="Only votes from this network.")] = None,
    after: Annotated[Text | None, Query(max_length=120, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most votes of a page.")] = 100,
) -> HeldPage:
    """Votes in quarantine."""
    selection = Selection(str(tool_id) if tool_id else None, None, reason, network)
    behind = _key(after) if after else None
    found = await patiently(
        here.engine, lambda connection: quarantine.held(connection, selection, after=behind, limit=limit)
    )
    votes = [
        HeldVote(
            tool_id=one.key[0],
            slug=one.slug,
            voter=one.key[1],
            vote=one.ballot.vote,
            reason=one.ballot.reason,
            version=one.ballot.version,
            cast_at=one.cast_at,
            network=one.network,
        )
        for one in found
    ]
    return HeldPage(votes=votes, next=f"{votes[-1].tool_id}:{votes[-1].voter}" if len(votes) == limit else None)


@routes.post("/held/release", response_model=Decided, responses=documented(400, 422, 503))
async def release_held(here: Here, decision: Decision) -> Decided:
    """Held votes count from now on."""
    return await _decide(here, decision, release)


@routes.post("/held/void", response_model=Decided, responses=documented(400, 422, 503))
async def void_held(here: Here, decision: Decision) -> Decided:
    """Held votes never count; what their voters vote on the tool later is held."""
    return await _decide(here, decision, void)


@routes.post("/{tool_id}/voters/{voter}/void", response_model=Decided, responses=documented(404, 409, 422, 503))
async def void_vote(
    here: Here,
    tool_id: Annotated[UUID, Path(description="Id of the tool.")],
    voter: Annotated[Text, Path(max_length=64, description="Pseudonym of the voter for this tool.")],
    reason: Annotated[Text, Query(min_length=3, max_length=200, description="Why; it is published in the log.")],
) -> Decided:
    """Void one vote that counts already."""
    key = (str(tool_id), voter)
    try:
        ballot = await patiently(
            here.engine, lambda connection: quarantine.decide_one(connection, key, void, reason, here.clock())
        )
    except NothingToDecide as error:
        raise Problem(409, f"Nothing was changed: {error}.") from None
    if ballot is None:
        raise Problem(404, "There is no such vote.")
    return Decided(votes=1)


@routes.get("/recount", response_model=list[Recounted], responses=documented(503))
async def recount(here: Here) -> list[Recounted]:
    """Rebuild every tally from its log and compare."""
    return [
        Recounted(tool_id=one.tool_id, length=one.length, problem=one.problem) async for one in recount_all(here.engine)
    ]


@routes.get("/openapi.json", include_in_schema=False)
async def openapi() -> dict[str, Any]:
    """The OpenAPI document of the readers' and the operators' routes."""
    return openapi_document()


def openapi_document() -> dict[str, Any]:
    """OpenAPI 3.1 of all routes; a path's tag says on which of the two origins it is."""
    document = get_openapi(
        title="Shipjury votes",
        version="1",
        summary="Ship or skip, one vote per voter and tool, that anyone can recount.",
        description="Tag `readers`: on the readers' origin. Tag `operators`: on the operators' port, with its key.",
        routes=[*readers.routes, *routes.routes],
        tags=[
            {"name": "readers", "description": "On the readers' origin; a cookie is the voter."},
            {"name": "operators", "description": "On the operators' port, with the operators' key."},
        ],
    )
    with_schema(document, VoteProblem)
    return document


async def _decide(here: OperatorParts, decision: Decision, act: Callable[[Ballot, str], Ballot]) -> Decided:
    votes = await quarantine.decide(here.engine, decision.selection, act, decision.reason, here.clock())
    return Decided(votes=votes)


def _key(text: str) -> tuple[str, str]:
    tool, _, voter = text.partition(":")
    try:
        return str(UUID(tool)), voter
    except ValueError:
        raise Problem(422, "`after` is `next` of the page before.") from None
