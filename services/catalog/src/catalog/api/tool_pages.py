"""A tool's page, and a comparison of two: the record, the standing verdict and the tally brought together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from .. import domain
from ..domain.comparing import canonical_pair, split_pair
from ..domain.verdict import ReviewerMark
from ..site import compare, linked_data, words
from ..site.dossier import Dossier, open_dossier, pair_letters
from ..site.families import family_figure
from ..store import community, lists, panel, tools
from .site import Moved, NotFound, Site, categories_of


@dataclass(frozen=True)
class Placed:
    """A reviewer's mark on the axis. Its name hangs from it in a row of its own; ``left`` of the mark, or right."""

    name: str
    score: float
    row: int
    left: bool


def routes(site: Site) -> APIRouter:
    """Pages of tools and pairs."""
    router = APIRouter()

    @router.get("/tools/{slug}")
    async def tool(request: Request, slug: str) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            one = await dossier(connection, slug)
            listed = await lists.every_tool(connection)
            return site.draw(
                request,
                "tool.html",
                one=one,
                sources=one.sources(),
                placed=place(one.summary.reviewers) if one.summary else (),
                effective=effective(one),
                history=await panel.history(connection, one.tool_id),
                relatives=[
                    other
                    for other in listed
                    if other.family
                    and other.slug != slug
                    and one.record.tool.family
                    and other.family == one.record.tool.family.name
                ],
                family=family_figure([one.record, *await _relatives(connection, one, listed)]),
                pairings=pairings_of(one.record.tool, listed),
                categories=_addresses(listed),
                asks_for=await asks_for(connection),
                json_ld=linked_data.of_tool(one, site.base(request)),
            )

        return await site.cached(request, build)

    @router.get("/compare/{pair}")
    async def comparison(request: Request, pair: str) -> Response:
        async def build(connection: AsyncConnection) -> bytes:
            a, b = await _pair(connection, pair)
            published = await panel.comparison(connection, (a.tool_id, b.tool_id))
            page = compare.compare(a, b, published)
            listed = await lists.every_tool(connection)
            same = a.record.tool.family and b.record.tool.family
            judge = a.verdict or b.verdict
            return site.draw(
                request,
                "compare.html",
                page=page,
                issued=max((one.verdict.issued_at for one in (a, b) if one.verdict), default=None),
                dates=_dates(a, b),
                judge=judge,
                effective=effective(a if a.verdict else b),
                family=family_figure(
                    [one.record for one in (a, b) if one.record.tool.family]
                    + ([] if same else await _relatives(connection, a if a.record.tool.family else b, listed))
                ),
                categories=_addresses(listed),
                asks_for=await asks_for(connection),
                json_ld=linked_data.of_pair(page, site.base(request) + request.url.path),
            )

        return await site.cached(request, build)

    @router.get("/compare")
    async def picker(request: Request, a: str = "", b: str = "") -> Response:
        if a and b and a != b:
            first, second = canonical_pair(a, b)
            return RedirectResponse(f"/compare/{first}-vs-{second}", status_code=303)

        async def build(connection: AsyncConnection) -> bytes:
            listed = await lists.every_tool(connection)
            by_slug = {tool.slug: tool for tool in listed}
            judged = [
                link
                for one in await panel.newest_comparisons(connection, 10)
                if (link := pair_link(by_slug.get(one.a.slug), by_slug.get(one.b.slug)))
            ]
            groups: dict[str, list[lists.Listed]] = {}
            for tool in listed:
                groups.setdefault(tool.category, []).append(tool)
            return site.draw(
                request,
                "picker.html",
                groups=sorted(groups.items()),
                chosen={"a": a, "b": b},
                said="Choose two different tools." if a and a == b else "",
                lists=(
                    ("Judged as a pair", judged),
                    ("Often compared", await often_compared(connection, by_slug)),
                    ("Neighbours in score", neighbours(listed)),
                ),
            )

        return await site.cached(request, build)

    return router


async def dossier(connection: AsyncConnection, slug: str, letter: str | None = None) -> Dossier:
    """The dossier of a published tool. Raises ``Moved`` or ``NotFound``."""
    record = await tools.find(connection, slug)
    if record is None or record.tool.status == "retired":
        other = await tools.forwarded(connection, slug)
        if other and other != slug:
            raise Moved(f"/tools/{other}")
        said = "This tool is off the site; its votes and verdicts are kept." if record else "There is no such tool."
        raise NotFound(said, slug)
    return await _opened(connection, record, letter)


async def asks_for(connection: AsyncConnection) -> Mapping[str, str]:
    """What each persona asks for, in its own words."""
    return {one.persona: one.card.asks_for for one in reversed(await panel.reviewers(connection))}


def effective(one: Dossier) -> str:
    """How many independent votes the panel amounts to, in words."""
    if one.verdict is None:
        return ""
    votes = one.verdict.agreement.effective_votes
    return "one effective vote" if votes < 1.5 else f"{votes:.1f} effective votes"


def place(reviewers: Sequence[ReviewerMark]) -> list[Placed]:
    """Marks with their names, one name a row, so that no name lies over another or over another's line.

    Names stand right of their marks with the highest score in the first row; where that score is near the edge they
    stand left, with the lowest score first.
    """
    scores = [(one.score, one.name) for one in reviewers if one.score is not None]
    left = bool(scores) and max(scores)[0] > 75
    ordered = sorted(scores, reverse=not left)
    return [Placed(name, score, row, left) for row, (score, name) in enumerate(ordered)]


def pair_link(a: lists.Listed | None, b: lists.Listed | None) -> dict[str, str] | None:
    """Name and address of a comparison."""
    if a is None or b is None:
        return None
    by_slug = {a.slug: a, b.slug: b}
    first, second = canonical_pair(a.slug, b.slug)
    return {"name": f"{by_slug[first].name} vs {by_slug[second].name}", "address": f"/compare/{first}-vs-{second}"}


def pairings_of(tool: domain.Tool, listed: Sequence[lists.Listed]) -> list[dict[str, str]]:
    """What a tool is compared with: as its file says, then its neighbours in the category."""
    by_slug = {one.slug: one for one in listed}
    stated = [slug for slug in tool.compare_with if slug in by_slug]
    near = [one.slug for one in listed if one.category == tool.category and one.slug != tool.slug]
    found = []
    for slug in list(dict.fromkeys([*stated, *near]))[:6]:
        first, second = canonical_pair(tool.slug, slug)
        found.append({"name": by_slug[slug].name, "address": f"/compare/{first}-vs-{second}"})
    return found


async def often_compared(connection: AsyncConnection, by_slug: Mapping[str, lists.Listed]) -> list[dict[str, str]]:
    """The pairs that tool files name."""
    found = {}
    for record in await tools.everything(connection):
        for slug in record.tool.compare_with:
            link = pair_link(by_slug.get(record.tool.slug), by_slug.get(slug))
            if link:
                found[link["address"]] = link
    return list(found.values())


def neighbours(listed: Sequence[lists.Listed], limit: int = 8) -> list[dict[str, str]]:
    """Pairs of one category whose scores are closest."""
    pairs = []
    for position, a in enumerate(listed):
        for b in listed[position + 1 :]:
            scores = [one.verdict.score if one.verdict else None for one in (a, b)]
            if a.category == b.category and scores[0] is not None and scores[1] is not None:
                pairs.append((abs(scores[0] - scores[1]), pair_link(a, b)))
    return [link for _, link in sorted(pairs, key=lambda pair: pair[0])[:limit] if link]


async def _pair(connection: AsyncConnection, pair: str) -> tuple[Dossier, Dossier]:
    records = {one.tool.slug: one for one in await tools.everything(connection)}
    found = split_pair(pair, records)
    if found is None:
        found = await _forwarded_pair(connection, pair, records)
    first, second = canonical_pair(*found)
    if f"{first}-vs-{second}" != pair:
        raise Moved(f"/compare/{first}-vs-{second}")
    if first == second:
        raise Moved(f"/tools/{first}")
    a, b = records[first], records[second]
    letters = pair_letters(a, b)
    return await _opened(connection, a, letters[0]), await _opened(connection, b, letters[1])


async def _forwarded_pair(
    connection: AsyncConnection, pair: str, records: Mapping[str, tools.OnRecord]
) -> tuple[str, str]:
    parts = pair.split("-vs-")
    for cut in range(1, len(parts)):
        sides = []
        for address in ("-vs-".join(parts[:cut]), "-vs-".join(parts[cut:])):
            sides.append(address if address in records else await tools.forwarded(connection, address))
        if sides[0] and sides[1]:
            return sides[0], sides[1]
    raise NotFound("There is no such pair of tools.", parts[0] if len(parts) > 1 else pair)


async def _opened(connection: AsyncConnection, record: tools.OnRecord, letter: str | None) -> Dossier:
    verdict = await panel.standing_verdict(connection, record.tool_id)
    return open_dossier(record, verdict, await community.tally(connection, record.tool_id), letter)


async def _relatives(connection: AsyncConnection, one: Dossier, listed: Sequence[lists.Listed]) -> list[tools.OnRecord]:
    family = one.record.tool.family
    if family is None:
        return []
    ids = [other.tool_id for other in listed if other.family == family.name and other.tool_id != one.tool_id]
    return await tools.by_ids(connection, ids)


def _addresses(listed: Sequence[lists.Listed]) -> dict[str, str]:
    return {name: address for name, address, _ in categories_of(listed)}


def _dates(a: Dossier, b: Dossier) -> str:
    days = [fact.as_of for one in (a, b) for fact in one.record.tool.facts]
    return words.days(min(days), max(days)) if days else "no evidence yet"


def json_of(one: Dossier) -> dict[str, Any]:
    """A tool for machines: the record, the standing verdict as it was published, the tally."""
    record = one.record
    event = tools.event_of(record.tool_id, record.version, record.tool, record.published_at)
    return {
        "tool": event.model_dump(mode="json"),
        "verdict": one.verdict.model_dump(mode="json") if one.verdict else None,
        "under_review": one.verdict is None or one.out_of_date,
        "community": None
        if one.tally is None
        else {
            "version": one.tally.version,
            "ship": one.tally.ship,
            "skip": one.tally.skip,
            "held": one.tally.held,
            "share": one.tally.share,
            "interval": vars(one.tally.interval) if one.tally.interval else None,
        },
    }
