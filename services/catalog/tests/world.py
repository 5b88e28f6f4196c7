"""A whole small world for pages: the starter catalog with verdicts, tallies, ratings, a digest, told by events.

Verdicts are invented here for tests alone: probabilities follow from the facts' hashes, so that they are the same in
every run, and everything a page shows is worked out from them as the contracts say.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from catalog import publishing
from catalog.domain.tool import Fact
from catalog.on_digest_sent import on_digest_sent
from catalog.on_edge_benchmarked import on_edge_benchmarked
from catalog.on_reviewer_rated import on_reviewer_rated
from catalog.on_tally_changed import on_tally_changed
from catalog.on_verdict_issued import on_verdict_issued
from catalog.store import tools
from shipjury_schemas import Event, TallyChanged, VerdictIssued
from shipjury_schemas.digest_sent.v1 import DigestItem
from shipjury_schemas.testing import digest_sent, edge_benchmarked, exam, reviewer_rated, tally_changed, verdict_issued
from shipjury_schemas.verdict_issued import v1

from .builders import NOON

PERSONAS = {
    "builder": ("Builder", "The primitive, the developer experience, the first ten minutes"),
    "skeptic": ("Skeptic", "Direct competitors, where it breaks, what kills it"),
    "founder": ("Founder", "The buyer and the budget, the moat, the stress test"),
    "futurist": ("Futurist", "A falsifiable thesis with a date, and what it depends on"),
    "creator": ("Creator", "What a non-engineer can make with it today"),
}
FIELDS = {
    "builder": ("Primitive", "Bet on developer experience", "Moment of truth", "Deciding point"),
    "skeptic": ("Competitors", "Breaks when", "Killed by", "What would change my mind"),
    "founder": ("Buyer", "Moat", "Stress test", "Deciding point"),
    "futurist": ("Thesis", "Depends on", "Second-order effect", "Timing"),
    "creator": ("Appeal", "Barrier", "Polish"),
}
CASES = {
    "run_on_own_hardware": ("Run on hardware you own", {"self_hosting", "hardware", "memory"}),
    "switch_hosts": ("Switch model hosts behind one API", {"api", "compatibility"}),
    "cap_spending": ("Cap what a team can spend", {"budget_control", "billing", "price"}),
    "paid_product": ("Build it into a paid product", {"licence", "price"}),
    "beyond_text": ("Go beyond text: images, audio, tools", {"multimodal", "structured_output"}),
}


async def build(engine: AsyncEngine) -> dict[str, str]:
    """Fill a database. Returns tool ids by slug."""
    async for _ in publishing.import_starter(engine, now=NOON):
        pass
    async with engine.begin() as connection:
        records = await tools.everything(connection)
        ids = {one.tool.slug: one.tool_id for one in records}
        for number, one in enumerate(records):
            await judge(connection, one, NOON - timedelta(hours=number))
        for number, slug in enumerate(("hf-inference-providers-hub", "mistral-3b", "vllm", "mistral-4b")):
            await tell_tally(connection, ids[slug], 41 - 9 * number, 17 + 5 * number)
        for persona, (name, asks_for) in PERSONAS.items():
            rated = reviewer_rated(reviewer_id=f"{persona}:smollm2-135m-instruct", persona=persona)
            card = rated.card.model_copy(update={"name": name, "asks_for": asks_for})
            await on_reviewer_rated(connection, [_event(rated.model_copy(update={"card": card}))])
        await on_digest_sent(
            connection,
            [
                _event(
                    digest_sent(
                        items=(
                            DigestItem(
                                kind="flip",
                                tool_id=ids["vllm"],
                                slug="vllm",
                                title="vLLM: from undecided to ship",
                                verdict="ship",
                                text="New facts on hardware support.",
                            ),
                        )
                    )
                )
            ],
        )
        await on_edge_benchmarked(connection, [_event(edge_benchmarked())])
    return ids


async def tell_tally(connection: AsyncConnection, tool_id: str, ship: int, skip: int, held: int = 0) -> None:
    """A tally as votes would tell it; its version is the number of votes."""
    votes = ship + skip
    share = ship / votes if votes >= 10 else None
    told: TallyChanged = tally_changed(
        tool_id=tool_id,
        aggregate_version=votes + held,
        ship=ship,
        skip=skip,
        held=held,
        share=share,
        interval=None if share is None else v1.Interval(low=max(0, share - 0.12), high=min(1, share + 0.12)),
    )
    await on_tally_changed(connection, [_event(told)])


async def judge(connection: AsyncConnection, record: tools.OnRecord, at: datetime, version: int = 1) -> VerdictIssued:
    """A verdict as the panel would issue it."""
    issued = verdict_of(record, at, version)
    await on_verdict_issued(connection, [_event(issued)])
    return issued


def verdict_of(record: tools.OnRecord, at: datetime, version: int = 1) -> VerdictIssued:
    """A verdict that follows from the hashes of the tool's facts."""
    facts = record.tool.facts
    p = {one.fact_id: _probability(one) for one in facts}
    clear = sorted(facts, key=lambda one: -abs(p[one.fact_id] - 0.5))
    reviews = []
    for number, (persona, (name, _)) in enumerate(PERSONAS.items()):
        score = _mean([p[one.fact_id] for one in facts], number)
        verdict = _verdict(score)
        reviews.append(
            v1.Review(
                review_id=f"{record.tool_id}-{persona}",
                persona=persona,
                persona_name=name,
                model="smollm2-135m-instruct",
                score=score,
                interval=v1.Interval(low=max(0, score - 9), high=min(100, score + 9)),
                verdict=verdict,
                answers=tuple(_answer(label, place, number, clear) for place, label in enumerate(FIELDS[persona])),
                claims=tuple(_claim(persona, place, one, p[one.fact_id]) for place, one in enumerate(clear[:5])),
            )
        )
    score = sum(review.score or 0 for review in reviews) / len(reviews)
    counts = {word: sum(review.verdict == word for review in reviews) for word in ("ship", "skip", "undecided")}
    decided = counts["ship"] + counts["skip"]
    return verdict_issued(
        aggregate_version=version,
        verdict_id=str(uuid5(NAMESPACE_URL, f"verdict:{record.tool_id}:{version}")),
        tool_id=record.tool_id,
        tool_slug=record.tool.slug,
        tool_name=record.tool.name,
        category=record.tool.category,
        tool_version=record.version,
        issued_at=at,
        verdict=_verdict(score),
        score=score,
        interval=v1.Interval(low=max(0, score - 8), high=min(100, score + 8)),
        counts=v1.Counts(abstain=0, **counts),
        ship_share=counts["ship"] / decided if decided else None,
        ship_share_interval=v1.Interval(low=0.2, high=1) if decided else None,
        exam=exam(),
        reviews=tuple(reviews),
        readings=tuple(
            v1.Reading(fact_id=one.fact_id, probability=p[one.fact_id], stance=_stance(p[one.fact_id])) for one in facts
        ),
        use_cases=tuple(_case(case, label, topics, facts, p) for case, (label, topics) in CASES.items()),
        facts_read=len(facts),
        evidence_from=min(one.as_of for one in facts),
        evidence_to=max(one.as_of for one in facts),
        supersedes=None
        if version == 1
        else v1.Superseded(
            verdict_id=str(uuid5(NAMESPACE_URL, f"verdict:{record.tool_id}:{version - 1}")),
            verdict="undecided",
            score=50,
            issued_at=at - timedelta(days=14),
            cause="evidence",
            explanation="A fact about the licence was added.",
        ),
    )


def _event(data: object) -> Event:  # type: ignore[type-arg]
    return Event(data=data, source="/shipjury/tests", time=NOON)  # type: ignore[type-var]


def _probability(fact: Fact) -> float:
    return (int(fact.content_hash[:6], 16) % 1000) / 1000


def _mean(values: Sequence[float], number: int) -> float:
    weights = [1.0 if place % 5 == number else 0.3 for place in range(len(values))]
    return 100 * sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _verdict(score: float) -> v1.Verdict:
    return "ship" if score >= 60 else "skip" if score < 47 else "undecided"


def _stance(probability: float) -> v1.Stance:
    return "for" if probability >= 0.8 else "against" if probability <= 0.2 else "unclear"


def _answer(label: str, place: int, number: int, clear: Sequence[Fact]) -> v1.Answer:
    one = clear[(place + number) % len(clear)]
    silent = (place + number) % 3 == 2
    return v1.Answer(
        field=label.lower().replace(" ", "_"),
        label=label,
        text=None if silent else one.statement,
        fact_ids=() if silent else (one.fact_id,),
    )


def _claim(persona: str, place: int, fact: Fact, probability: float) -> v1.Claim:
    struck = bool(fact.conflicts_with and fact.conflicts_with[0].fact_id)
    against = fact.conflicts_with[0].fact_id if struck else None
    return v1.Claim(
        claim_id=f"{persona}-{place + 1}",
        lead_in="",
        text=fact.statement,
        stance=_stance(probability),
        probability=probability,
        fact_ids=(fact.fact_id,),
        check="contradicted" if struck else "quoted",
        counts=not struck,
        contradicted_by=(against,) if against else (),
    )


def _case(case: str, label: str, topics: set[str], facts: Sequence[Fact], p: dict[str, float]) -> v1.UseCase:
    bearing = sorted((one for one in facts if topics & set(one.topics)), key=lambda one: p[one.fact_id])
    if len(bearing) < 2:
        return v1.UseCase(use_case=case, label=label, score=None, facts=len(bearing))
    score = 100 * sum(p[one.fact_id] for one in bearing) / len(bearing)
    return v1.UseCase(
        use_case=case,
        label=label,
        score=score,
        interval=v1.Interval(low=max(0, score - 12), high=min(100, score + 12)),
        facts=len(bearing),
        strongest=bearing[-1].fact_id,
        weakest=bearing[0].fact_id,
    )
