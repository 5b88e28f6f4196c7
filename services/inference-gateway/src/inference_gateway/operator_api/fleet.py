"""The fleet: which nodes there are, what they hold, and deploying, cordoning and draining them."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain.fleet import Desired, Wanted
from ..store import fleet
from .answers import json_answer
from .fleet_page import fleet_page


class NewDeployment(BaseModel):
    """A model to deploy: on one node, or on all nodes with these labels."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200)
    node: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    context_tokens: int | None = Field(default=None, ge=128)
    slots: int | None = Field(default=None, ge=1, le=64)
    accept_licence: str | None = None

    @model_validator(mode="after")
    def _one_way_to_say_where(self) -> "NewDeployment":
        if (self.node is None) == (not self.labels):
            raise ValueError("say where: either node or labels")
        return self


def fleet_routes(engine: AsyncEngine) -> APIRouter:
    """Routes of the fleet. A change is an event to the node; how it fares is in what the node tells next."""
    routes = APIRouter()

    @routes.get("/gateway/admin/nodes")
    async def nodes() -> Response:
        """Every node: what it told last, what it should hold, what it measured."""
        async with engine.connect() as connection:
            return json_answer(await fleet.fleet(connection, datetime.now(UTC)))

    @routes.get("/gateway/admin/fleet")
    async def page() -> Response:
        """The same as a page for people."""
        now = datetime.now(UTC)
        async with engine.connect() as connection:
            return Response(fleet_page(await fleet.fleet(connection, now), now), media_type="text/html; charset=utf-8")

    @routes.post("/gateway/admin/deployments", status_code=202)
    async def deploy(new: NewDeployment) -> Response:
        """Deploy a model. The same once more changes nothing and answers with the same generation."""
        wanted = Wanted(new.model, new.context_tokens, new.slots, new.accept_licence)
        now = datetime.now(UTC)
        async with engine.begin() as connection:
            names = [new.node] if new.node is not None else await fleet.nodes_labelled(connection, new.labels)
            if not names:
                raise HTTPException(404, "no node has these labels")
            told = [
                _told(name, *await _found(fleet.change(connection, name, lambda one: one.with_model(wanted), now)))
                for name in names
            ]
        return json_answer(told, 202)

    @routes.delete("/gateway/admin/deployments/{node}/{model}", status_code=202)
    async def withdraw(node: str, model: str) -> Response:
        """Let a node hold a model no longer; its running requests are finished first."""
        async with engine.begin() as connection:
            try:
                changed = await _found(
                    fleet.change(connection, node, lambda one: one.without_model(model), datetime.now(UTC))
                )
            except KeyError as error:
                raise HTTPException(404, f"{model} is not deployed on {node}") from error
        return json_answer(_told(node, *changed), 202)

    @routes.post("/gateway/admin/nodes/{node}/{what}", status_code=202)
    async def steer(node: str, what: Literal["cordon", "drain", "uncordon"]) -> Response:
        """Keep new requests away (cordon), and unload everything too (drain), or open the node again (uncordon)."""

        def to(desired: Desired) -> Desired:
            return replace(desired, cordoned=what != "uncordon", drained=what == "drain")

        async with engine.begin() as connection:
            changed = await _found(fleet.change(connection, node, to, datetime.now(UTC)))
        return json_answer(_told(node, *changed), 202)

    return routes


async def _found(work: Any) -> tuple[Desired, bool]:
    try:
        return await work  # type: ignore[no-any-return]
    except fleet.NoSuchNode as error:
        raise HTTPException(404, str(error)) from error


def _told(node: str, desired: Desired, new: bool) -> dict[str, Any]:
    return {"node": node, "new": new, **asdict(desired)}
