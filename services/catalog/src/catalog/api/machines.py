"""What machines read: a tool as JSON, the Atom feed, the site map, robots.txt, static files."""

import json
from itertools import combinations
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncConnection

from ..domain.comparing import canonical_pair
from ..site.render import STATIC
from ..site.words import VERDICTS
from ..store import community, lists, panel
from .answers import tagged
from .list_pages import changed
from .site import NotFound, Site, categories_of
from .tool_pages import dossier, json_of

MEDIA = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
YEAR = {"Cache-Control": "public, max-age=31536000, immutable"}
HOUR = {"Cache-Control": "public, max-age=3600"}
MAX_PAIRS = 5000


def routes(site: Site) -> APIRouter:
    """Routes without HTML."""
    router = APIRouter()

    @router.get("/tools/{slug}.json")
    async def tool(request: Request, slug: str) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            return json.dumps(json_of(await dossier(connection, slug)), ensure_ascii=False).encode()

        return await site.cached(request, build, "application/json")

    @router.get("/feed.atom")
    async def feed(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            return _feed(site.base(request), await panel.newest(connection, 50), site).encode()

        return await site.cached(request, build, "application/atom+xml")

    @router.get("/sitemap.xml")
    async def sitemap(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            listed = await lists.every_tool(connection)
            paths = ["/", "/tools", "/compare", "/reviewers", "/methods", "/digests", "/subscribe"]
            paths += [f"/tools/{tool.slug}" for tool in listed]
            paths += [f"/categories/{address}" for _, address, _ in categories_of(listed)]
            paths += [
                f"/reviewers/{one}" for one in sorted({rated.persona for rated in await panel.reviewers(connection)})
            ]
            paths += [f"/digests/{digest.digest_id}" for digest in await community.digests(connection)]
            pairs = [canonical_pair(a.slug, b.slug) for a, b in combinations(listed, 2) if a.category == b.category]
            paths += [f"/compare/{first}-vs-{second}" for first, second in pairs[:MAX_PAIRS]]
            base = site.base(request)
            urls = "".join(f"<url><loc>{escape(base + path)}</loc></url>\n" for path in paths)
            return (
                '<?xml version="1.0" encoding="UTF-8"?>\n'
                f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
            ).encode()

        return await site.cached(request, build, "application/xml")

    @router.get("/robots.txt")
    async def robots(request: Request) -> Response:
        text = (
            "User-agent: *\nDisallow: /bookmarks\nDisallow: /search\nDisallow: /votes/\nDisallow: /subscriptions\n"
            f"Sitemap: {site.base(request)}/sitemap.xml\n"
        )
        return tagged(request, text.encode(), "text/plain; charset=utf-8")

    @router.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        path = STATIC / name
        if path.parent != STATIC or path.suffix not in MEDIA or not path.is_file():
            raise NotFound("There is no such file.")
        return tagged(request, path.read_bytes(), MEDIA[path.suffix], YEAR if "v" in request.query_params else HOUR)

    @router.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return tagged(request, (STATIC / "icon.svg").read_bytes(), MEDIA[".svg"], HOUR)

    return router


def _feed(base: str, issued: list[panel.Issued], site: Site) -> str:
    updated = issued[0].summary.issued_at if issued else site.clock()
    entries = []
    for one in issued:
        verdict = one.summary
        score = "" if verdict.score is None else f", {verdict.score:.0f}/100"
        entries.append(
            "<entry>"
            f"<id>urn:uuid:{verdict.verdict_id}</id>"
            f"<title>{escape(f'{VERDICTS[verdict.verdict]}: {one.name}')}</title>"
            f'<link rel="alternate" href="{escape(f"{base}/tools/{one.slug}")}"/>'
            f"<updated>{verdict.issued_at.isoformat()}</updated>"
            f"<summary>{escape(f'{VERDICTS[verdict.verdict]}{score}. {changed(verdict)}')}</summary>"
            "</entry>\n"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
        f"<id>{escape(base)}/feed.atom</id><title>Shipjury verdicts</title>"
        "<author><name>Shipjury panel of AI reviewers</name></author>"
        f'<link rel="self" href="{escape(base)}/feed.atom"/><link rel="alternate" href="{escape(base)}/"/>'
        f"<updated>{updated.isoformat()}</updated>\n{''.join(entries)}</feed>\n"
    )
