"""Home, all tools, categories, search, reviewers, methods, digests, subscribing."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import combinations
from types import SimpleNamespace

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncConnection

from ..domain.searching import search
from ..domain.verdict import Summary
from ..site import compare
from ..site.dossier import pair_letters
from ..store import community, lists, panel, tools
from .answers import tagged
from .site import NotFound, Site, categories_of, newest_edges, ranked
from .tool_pages import _opened, pair_link

HEADINGS = (
    ("Flips", "flip"),
    ("New verdicts", "new_verdict"),
    ("Panel against community", "panel_against_community"),
    ("Most contested", "most_contested"),
    ("Comparisons", "comparison"),
)


def routes(site: Site) -> APIRouter:
    """Pages that list."""
    router = APIRouter()

    @router.get("/")
    async def home(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            listed = await lists.every_tool(connection)
            lead = await _todays_comparison(connection, listed, site.clock())
            judged = [tool for tool in listed if tool.verdict]
            judged.sort(key=lambda tool: tool.verdict.issued_at if tool.verdict else site.clock(), reverse=True)
            return site.draw(
                request,
                "home.html",
                today=site.clock(),
                category_counts=categories_of(listed),
                lead=lead,
                lead_address=f"/compare/{lead.a.slug}-vs-{lead.b.slug}" if lead else "",
                newest=judged[:8],
                waiting=len(listed) - len(judged),
                contested=_contested(judged),
                apart=_apart(judged),
                changed=changed,
                edges=newest_edges(listed),
            )

        return await site.cached(request, build)

    @router.get("/tools")
    async def every_tool(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            listed = await lists.every_tool(connection)
            groups = [
                (name, address, ranked([tool for tool in listed if tool.category == name]))
                for name, address, _ in categories_of(listed)
            ]
            return site.draw(
                request, "tools.html", heading="Tools on record", total=len(listed), groups=groups, category="",
                pairings=[], edges=newest_edges(listed),
            )  # fmt: skip

        return await site.cached(request, build)

    @router.get("/categories/{category}")
    async def category(request: Request, category: str) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            listed = await lists.every_tool(connection)
            names = [name for name, address, _ in categories_of(listed) if address == category]
            if not names:
                raise NotFound("There is no such category.")
            mine = ranked([tool for tool in listed if tool.category in names])
            pairs = [link for a, b in combinations(mine[:5], 2) if (link := pair_link(a, b))]
            return site.draw(
                request, "tools.html", heading=names[0], total=len(mine), groups=[(names[0], category, mine)],
                category=names[0], pairings=pairs[:6], edges=newest_edges(listed),
            )  # fmt: skip

        return await site.cached(request, build)

    @router.get("/search")
    async def find(request: Request, q: str = "") -> Response:
        query = " ".join(q[:200].split())
        async with site.engine.connect() as connection:
            listed = await lists.every_tool(connection)
        by_slug = {tool.slug: tool for tool in listed}
        found = [by_slug[entry.slug] for entry in search([tool.entry for tool in listed], query)]
        return tagged(request, site.draw(request, "search.html", query=query, found=found, edges=newest_edges(listed)))

    @router.get("/reviewers")
    async def reviewers(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            listed = await lists.every_tool(connection)
            return site.draw(request, "reviewers.html", cards=await _cards(connection, listed))

        return await site.cached(request, build)

    @router.get("/reviewers/{persona}")
    async def reviewer(request: Request, persona: str) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            listed = await lists.every_tool(connection)
            card = next((one for one in await _cards(connection, listed) if one.persona == persona), None)
            if card is None:
                raise NotFound("There is no such reviewer.")
            judged = [
                (tool, mark)
                for tool in listed
                if tool.verdict
                for mark in tool.verdict.reviewers
                if mark.persona == persona
            ]
            judged.sort(key=lambda pair: (pair[1].score is None, -(pair[1].score or 0), pair[0].name))
            return site.draw(
                request, "reviewer.html", card=card, exam=card.exam, track=card.track, judged=judged,
                edges=newest_edges(listed),
            )  # fmt: skip

        return await site.cached(request, build)

    @router.get("/methods")
    async def methods(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            listed = [tool for tool in await lists.every_tool(connection) if tool.verdict]
            verdicts = [
                verdict for tool in listed if (verdict := await panel.standing_verdict(connection, tool.tool_id))
            ]
            latest = max(verdicts, key=lambda verdict: verdict.issued_at, default=None)
            exams = {one.exam.exam_id: one.exam for one in await panel.reviewers(connection)}
            if latest and not exams:
                exams = {latest.exam.exam_id: latest.exam}
            stances = Counter(reading.stance for verdict in verdicts for reading in verdict.readings)
            readings = {
                "total": stances.total(),
                **{stance: stances[stance] for stance in ("for", "against", "unclear")},
                "aside": sum(len(verdict.set_aside) for verdict in verdicts),
            }
            return site.draw(
                request, "methods.html", exams=list(exams.values()), latest=latest, readings=readings,
                benchmarks=await community.benchmarks(connection),
            )  # fmt: skip

        return await site.cached(request, build)

    @router.get("/digests")
    async def digests(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            return site.draw(request, "digests.html", digests=await community.digests(connection))

        return await site.cached(request, build)

    @router.get("/digests/{digest_id}")
    async def digest(request: Request, digest_id: str) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            found = await community.digest(connection, digest_id)
            if found is None:
                raise NotFound("There is no such issue.")
            groups = [(heading, [one for one in found.items if one.kind == kind]) for heading, kind in HEADINGS]
            return site.draw(request, "digest.html", digest=found, groups=groups)

        return await site.cached(request, build)

    @router.get("/subscribe")
    async def subscribe(request: Request) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            counts = categories_of(await lists.every_tool(connection))
            return site.draw(request, "subscribe.html", category_counts=counts)

        return await site.cached(request, build)

    @router.get("/subscribe/sent")
    async def sent(request: Request) -> Response:
        return tagged(request, site.draw(request, "sent.html"))

    return router


def changed(verdict: Summary) -> str:
    """What a verdict changed, in a few words for a list."""
    if verdict.number == 1 or not verdict.cause:
        return "First verdict"
    if verdict.before:
        return f"Was {verdict.before}: {verdict.explanation}" if verdict.explanation else f"Was {verdict.before}"
    return f"No change of verdict: {verdict.explanation}" if verdict.explanation else "No change of verdict"


def _contested(judged: Sequence[lists.Listed]) -> list[lists.Listed]:
    spread = [(tool.verdict.spread, tool) for tool in judged if tool.verdict and tool.verdict.spread]
    spread.sort(key=lambda pair: -(pair[0] or 0))
    return [tool for points, tool in spread[:5] if points and points >= 1]


def _apart(judged: Sequence[lists.Listed]) -> list[tuple[lists.Listed, float]]:
    gaps = [
        (tool, 100 * abs(tool.verdict.ship_share - tool.tally.share))
        for tool in judged
        if tool.verdict and tool.verdict.ship_share is not None and tool.tally and tool.tally.share is not None
    ]
    return sorted(gaps, key=lambda pair: -pair[1])[:5]


async def _todays_comparison(
    connection: AsyncConnection, listed: Sequence[lists.Listed], now: datetime
) -> compare.Page | None:
    """The panel's newest own comparison, else one of the pairs that tool files name, another each day."""
    records = {one.tool.slug: one for one in await tools.everything(connection)}
    judged = {tool.slug for tool in listed if tool.verdict}
    pairs = [tuple(sorted((one.a.slug, one.b.slug))) for one in await panel.newest_comparisons(connection, 1)]
    if not pairs:
        stated = sorted(
            {tuple(sorted((slug, other))) for slug, one in records.items() for other in one.tool.compare_with}
        )
        ready = [pair for pair in stated if judged.issuperset(pair)]
        pairs = [ready[now.toordinal() % len(ready)]] if ready else []
    if not pairs or not judged.issuperset(pairs[0]):
        return None
    a, b = records[pairs[0][0]], records[pairs[0][1]]
    letters = pair_letters(a, b)
    first, second = await _opened(connection, a, letters[0]), await _opened(connection, b, letters[1])
    return compare.compare(first, second, await panel.comparison(connection, (a.tool_id, b.tool_id)))


async def _cards(connection: AsyncConnection, listed: Sequence[lists.Listed]) -> list[SimpleNamespace]:
    """Each persona once, with its newest rating."""
    cards: dict[str, SimpleNamespace] = {}
    for rated in await panel.reviewers(connection):
        if rated.persona in cards:
            continue
        marks = [
            mark for tool in listed if tool.verdict for mark in tool.verdict.reviewers if mark.persona == rated.persona
        ]
        counts = Counter(mark.verdict for mark in marks)
        cards[rated.persona] = SimpleNamespace(
            **rated.card.model_dump(),
            persona=rated.persona,
            model=rated.model,
            exam=rated.exam,
            track=rated.track_record,
            judged=len(marks),
            counts={verdict: counts[verdict] for verdict in ("ship", "skip", "undecided", "abstain")},
        )
    return [cards[persona] for persona in sorted(cards)]
