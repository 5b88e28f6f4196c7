"""Readers' routes: a tool's verdicts, and the comparison of any two."""

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI, HTTPException, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_delivery.problems import answer_with_problems
from shipjury_delivery.telemetry import FRAMEWORK_SILENT
from shipjury_schemas import VerdictIssued

from .comparing import comparison
from .store import tools, verdicts


def public_app(engine: AsyncEngine, clock: Callable[[], datetime]) -> FastAPI:
    """`/reviews/{tool_id}` and `/comparisons/{slug_a}-vs-{slug_b}`, as JSON."""
    app = FastAPI(title="Shipjury panel", docs_url=None, redoc_url=None, openapi_url=None, telemetry=FRAMEWORK_SILENT)
    answer_with_problems(app)

    @app.get("/reviews/{tool_id}")
    async def reviews(tool_id: str, response: Response) -> dict[str, object]:
        """The verdict that stands, with its reviews, and the history behind it, newest first."""
        async with engine.connect() as connection:
            found = await verdicts.history(connection, tool_id)
        if not found:
            raise HTTPException(404, "No verdict on this tool yet.")
        response.headers["cache-control"] = "no-cache"
        return {"latest": found[0].model_dump(mode="json"), "history": [_brief(one) for one in found]}

    @app.get("/comparisons/{pair}")
    async def compared(pair: str, response: Response) -> dict[str, object]:
        """The comparison of two tools, from the verdicts that stand. The order of the names plays no part."""
        async with engine.connect() as connection:
            found = await two_verdicts(connection, pair)
        if found is None:
            raise HTTPException(404, "No two tools of these names have a verdict.")
        response.headers["cache-control"] = "no-cache"
        one, other = found
        return comparison(one, other, max(one.aggregate_version, other.aggregate_version), clock()).model_dump(
            mode="json"
        )

    return app


async def two_verdicts(connection: AsyncConnection, pair: str) -> tuple[VerdictIssued, VerdictIssued] | None:
    """The verdicts that `a-vs-b` names. A slug may hold `-vs-` itself: the parting where both are known is taken."""
    parts = pair.split("-vs-")
    for cut in range(1, len(parts)):
        found = [await _verdict(connection, "-vs-".join(half)) for half in (parts[:cut], parts[cut:])]
        if found[0] and found[1] and found[0].tool_id != found[1].tool_id:
            return found[0], found[1]
    return None


async def _verdict(connection: AsyncConnection, slug: str) -> VerdictIssued | None:
    tool = await tools.by_slug(connection, slug)
    return await verdicts.latest(connection, tool.tool_id) if tool else None


def _brief(verdict: VerdictIssued) -> dict[str, object]:
    """One line of the history."""
    keep = {
        "verdict_id",
        "aggregate_version",
        "tool_version",
        "issued_at",
        "verdict",
        "score",
        "interval",
        "supersedes",
    }
    return verdict.model_dump(mode="json", include=keep)
