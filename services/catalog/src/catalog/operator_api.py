"""Operators' routes: publish a tool as YAML or JSON, retire one, list. The guard in front asks for the key."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.problems import answer_with_problems, documented, problem, with_schema
from shipjury_delivery.telemetry import FRAMEWORK_SILENT
from shipjury_schemas import EventTooLarge

from . import domain, toolfile
from .store import tools


class PublishedTool(BaseModel):
    """What publishing or retiring did."""

    tool_id: str = Field(description="UUID of the tool.")
    slug: str = Field(description="Its name in addresses.")
    version: int = Field(description="Its version now.")
    outcome: tools.Outcome = Field(description="What was done.")


class Retirement(BaseModel):
    """How to retire a tool."""

    into: str | None = Field(default=None, description="Slug of the tool that it is merged into.")


_PROBLEMS = documented(404, 409, 413, 422)


def operator_app(engine: AsyncEngine, clock: Callable[[], datetime]) -> FastAPI:
    """The app under ``/catalog/``."""
    app = FastAPI(
        title="Shipjury catalog, operators",
        openapi_url="/catalog/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=FRAMEWORK_SILENT,
    )
    answer_with_problems(app)

    @app.post(
        "/catalog/tools",
        response_model=PublishedTool,
        responses=_PROBLEMS,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/yaml": {"schema": {"type": "string"}},
                    "application/json": {"schema": toolfile.ToolPart.model_json_schema()},
                },
            }
        },
    )
    async def publish(request: Request) -> Any:
        """Publish one tool: a document in the catalog's file format. The same content again changes nothing."""
        content = await request.body()
        if len(content) > toolfile.MAX_FILE_BYTES:
            return problem(413, f"A tool file has at most {toolfile.MAX_FILE_BYTES:,} bytes.")
        try:
            draft = await asyncio.to_thread(toolfile.parse, content, "request")
            async with engine.begin() as connection:
                published = await tools.publish_tool(connection, draft, origin="api", now=clock())
        except toolfile.BadToolFile as error:
            errors = [{"line": one.line, "field": one.field, "detail": one.message} for one in error.errors]
            return problem(422, f"{len(errors)} field(s) are wrong.", errors=errors)
        except domain.SlugClash as error:
            return problem(409, str(error))
        except (domain.DossierTooLarge, EventTooLarge) as error:
            return problem(413, str(error))
        return JSONResponse(vars(published), status_code=201 if published.outcome == "new" else 200)

    @app.post("/catalog/tools/{slug}/retire", response_model=PublishedTool, responses=_PROBLEMS)
    async def retire(slug: str, retirement: Retirement | None = None) -> Any:
        """Take a tool off the site."""
        try:
            async with engine.begin() as connection:
                into = retirement.into if retirement else None
                return vars(await tools.retire(connection, slug, into=into, now=clock()))
        except domain.UnknownTool as error:
            return problem(404, str(error))

    @app.get("/catalog/tools")
    async def list_tools(retired: bool = False) -> list[dict[str, Any]]:
        """Every tool on record."""
        async with engine.connect() as connection:
            return [
                {
                    "tool_id": one.tool_id,
                    "slug": one.tool.slug,
                    "name": one.tool.name,
                    "version": one.version,
                    "status": one.tool.status,
                    "origin": one.origin,
                    "content_hash": one.content_hash,
                    "facts": len(one.tool.facts),
                }
                for one in await tools.everything(connection, retired=retired)
            ]

    with_schema(app.openapi())
    return app
