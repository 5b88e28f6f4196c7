"""What every page works with: the database, the renderer, and rendered pages kept by the site's revision."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .. import domain
from ..domain.searching import suggest
from ..domain.verdict import DEFAULT_EDGES
from ..site.render import Renderer
from ..store import lists, site
from .answers import HTML, tagged

Build = Callable[[AsyncConnection], Awaitable[bytes]]


class NotFound(LookupError):
    """No page is here; ``wanted`` is what the reader may have meant."""

    def __init__(self, said: str, wanted: str = "") -> None:
        self.said, self.wanted = said, wanted
        super().__init__(said)


class Moved(Exception):
    """The page is at another address, for good."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(address)


@dataclass
class Site:
    """Shared by all routes."""

    engine: AsyncEngine
    renderer: Renderer
    clock: Callable[[], datetime]
    site_url: str = ""
    minimum_votes: int = 10
    page_cache: int = 512
    _kept: OrderedDict[tuple[Any, ...], bytes] = field(default_factory=OrderedDict)

    async def cached(self, request: Request, build: Build, media_type: str = HTML) -> Response:
        """The page, drawn anew only after something on the site has changed (or the day has)."""
        async with self.engine.connect() as connection:
            revision = await site.revision(connection)
            key = (revision, self.clock().date(), self.base(request), str(request.url.path), request.url.query)
            body = self._kept.get(key)
            if body is None:
                body = await build(connection)
                self._kept[key] = body
                while len(self._kept) > self.page_cache:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
        return tagged(request, body, media_type)

    def base(self, request: Request) -> str:
        """Public address of the site, without a slash at the end."""
        return (self.site_url or str(request.base_url)).rstrip("/")

    def draw(self, request: Request, template: str, **data: Any) -> bytes:
        """A page with what every page needs."""
        common = {
            "path": request.url.path,
            "canonical": self.base(request) + request.url.path,
            "edges": DEFAULT_EDGES,
        }
        return self.renderer.page(template, {**common, **data})

    async def not_found(self, request: Request, error: NotFound) -> Response:
        """404 with what the reader may have meant."""
        suggestions: Sequence[Mapping[str, str]] = ()
        if error.wanted:
            async with self.engine.connect() as connection:
                tools = await lists.every_tool(connection)
            suggestions = [
                {"name": one.name, "address": f"/tools/{one.slug}"}
                for one in suggest((tool.entry for tool in tools), error.wanted[:200])
            ]
        body = self.draw(
            request, "error.html", status=404, heading="Not on record", said=error.said, suggestions=suggestions
        )
        return Response(body, status_code=404, media_type=HTML, headers={"Cache-Control": "no-cache"})


def newest_edges(tools: Sequence[lists.Listed]) -> tuple[float, float]:
    """The edges of the newest verdict: lists draw all tools on one axis."""
    verdicts = [tool.verdict for tool in tools if tool.verdict]
    return max(verdicts, key=lambda verdict: verdict.issued_at).edges if verdicts else DEFAULT_EDGES


def categories_of(tools: Sequence[lists.Listed]) -> list[tuple[str, str, int]]:
    """Name, address and size of each category, largest first."""
    counts: dict[str, int] = {}
    for tool in tools:
        counts[tool.category] = counts.get(tool.category, 0) + 1
    return [
        (name, domain.address_of(name), count)
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def ranked(tools: Sequence[lists.Listed]) -> list[lists.Listed]:
    """By the lower bound of the panel's score; without one last, by name."""

    def key(tool: lists.Listed) -> tuple[bool, float, str]:
        verdict = tool.verdict
        if verdict is None or verdict.score is None:
            return True, 0.0 if verdict else 1.0, tool.name.lower()
        return False, -(verdict.interval.low if verdict.interval else verdict.score), tool.name.lower()

    return sorted(tools, key=key)
