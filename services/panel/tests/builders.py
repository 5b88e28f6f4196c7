"""Facts, dossiers and events with readable defaults, for the panel's tests."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from hashlib import sha256

from panel.domain.dossier import Conflict, Dossier, Fact
from panel.domain.reviews import Evidence
from panel.domain.tone import Reading
from shipjury_schemas import ToolPublished
from shipjury_schemas.tool_published import v1 as wire

PUBLIC = "https://example.org/docs"
CAPTURED = "captured comparison page: A vs B"


def a_fact(
    fact_id: str = "x-1",
    statement: str = "The code is MIT licensed.",
    kind: str = "capability",
    topics: Sequence[str] = (),
    source: str = PUBLIC,
    conflicts: Sequence[Conflict] = (),
) -> Fact:
    return Fact(
        fact_id=fact_id,
        label=fact_id.upper(),
        statement=statement,
        kind=kind,
        topics=tuple(topics),
        source=source,
        as_of=date(2026, 11, 1),
        content_hash=sha256(f"{fact_id}{statement}{kind}{source}{conflicts}".encode()).hexdigest(),
        conflicts_with=tuple(conflicts),
    )


def a_dossier(*facts: Fact, vendor: str = "Acme") -> Dossier:
    return Dossier("tool-1", 1, "acme-tool", "Acme Tool", vendor, "Developer Tools", facts)


def evidence(*pairs: tuple[Fact, float], contradicted: dict[str, tuple[str, ...]] | None = None) -> Evidence:
    """Facts with the probability that each was read with."""
    return Evidence(
        tuple(fact for fact, _ in pairs),
        {fact.fact_id: Reading(fact.fact_id, probability) for fact, probability in pairs},
        contradicted or {},
    )


GOOD = (
    "It runs offline on a laptop.",
    "The API has been stable for years.",
    "Bugs are usually closed within a week.",
    "The free plan is generous.",
    "Setup takes one line.",
    "Support answers within a day.",
)
BAD = (
    "It lost data in March.",
    "The repository was archived in June.",
    "Secrets are stored in plain text.",
    "Nobody answers open issues.",
    "It crashes on long texts.",
    "The price tripled without notice.",
)


def a_tool(
    statements: Sequence[str] = GOOD,
    *,
    tool_id: str = "11111111-1111-7111-8111-111111111111",
    slug: str = "acme-tool",
    version: int = 1,
    status: str = "published",
    vendor: str = "Acme",
    topics: Sequence[str] = ("setup", "reliability"),
) -> ToolPublished:
    facts = tuple(
        wire.Fact(
            fact_id=f"{slug}-{number:02}",
            label=f"A{number:02}",
            statement=statement,
            kind="capability",
            topics=tuple(topics),
            source=PUBLIC,
            as_of=date(2026, 11, number),
            content_hash=sha256(statement.encode()).hexdigest(),
        )
        for number, statement in enumerate(statements, start=1)
    )
    return ToolPublished(
        aggregate_version=version,
        tool_id=tool_id,
        status=status,  # type: ignore[arg-type]
        slug=slug,
        name=slug.replace("-", " ").title(),
        vendor=vendor,
        category="Developer Tools",
        tagline="A tool.",
        pricing=wire.Pricing(summary="Free."),
        facts=facts,
        content_hash=sha256("".join(statements).encode()).hexdigest(),
        published_at=datetime(2026, 11, 20, tzinfo=UTC),
    )
