"""Operators' routes, under `/panel`: what waits and failed, judge again, publish a comparison."""

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.problems import answer_with_problems
from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from .api import two_verdicts
from .comparing import comparison
from .domain.comparison import pairing
from .status import judge_again, status_of
from .store import verdicts


class Pair(BaseModel):
    """Two tools by their names in addresses."""

    model_config = ConfigDict(extra="forbid")

    a: str = Field(description="Slug of one tool.")
    b: str = Field(description="Slug of the other.")


def operator_app(engine: AsyncEngine, clock: Callable[[], datetime]) -> FastAPI:
    """The operators' app."""
    app = FastAPI(
        title="Shipjury panel, operators",
        openapi_url="/panel/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=FRAMEWORK_SILENT,
    )
    answer_with_problems(app)

    @app.get("/panel/status")
    async def status() -> dict[str, object]:
        """Jobs by state, tools judged, what failed and why, exams."""
        return await status_of(engine)

    @app.post("/panel/comparisons", status_code=201)
    async def compare(pair: Pair) -> dict[str, object]:
        """Compare two tools from their standing verdicts and publish it. At level tone reader no call is made."""
        async with engine.begin() as connection:
            found = await two_verdicts(connection, f"{pair.a}-vs-{pair.b}")
            if found is None:
                raise HTTPException(404, "No two tools of these names have a verdict.")
            version = await verdicts.next_comparison_version(connection, pairing(found[0].tool_id, found[1].tool_id))
            issued = comparison(*found, version, clock())
            await verdicts.issue_comparison(connection, issued)
        return issued.model_dump(mode="json")

    @app.post("/panel/tools/{slug}/rejudge", status_code=202)
    async def rejudge(slug: str) -> dict[str, object]:
        """Judge the newest version of a tool again."""
        version = await judge_again(engine, slug, clock())
        if version is None:
            raise HTTPException(404, "No tool of that name is published.")
        return {"slug": slug, "version": version}

    return app
