"""A tool as its pages show it: the record and the standing verdict brought together, every fact under its label."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from shipjury_schemas import VerdictIssued
from shipjury_schemas.verdict_issued.v1 import Claim, Review

from ..domain.comparing import Scored
from ..domain.tool import Fact
from ..domain.verdict import DEFAULT_EDGES, Span, Summary, Tally
from ..store.panel import summary_of
from ..store.tools import OnRecord
from . import words


@dataclass(frozen=True)
class Side:
    """One side of a contradiction. ``label`` is empty where no fact on record says so."""

    short: str
    statement: str
    label: str = ""


@dataclass(frozen=True)
class Clash:
    """Two sides that cannot both be right."""

    subject: str
    here: Side
    there: Side


@dataclass(frozen=True)
class Argued:
    """A claim as it is shown, once, however many reviewers make it."""

    text: str
    lead_in: str
    labels: tuple[str, ...]
    stance: str
    probability: float
    check: str
    counts: bool
    contradicted_by: tuple[str, ...]
    reviewers: tuple[str, ...]
    quoted: bool


@dataclass(frozen=True)
class Exhibit:
    """A fact under its label, with how it was read."""

    label: str
    statement: str
    kind: str
    as_of: date
    conflicts: tuple[str, ...]
    stance: str
    set_aside: str


@dataclass(frozen=True)
class Source:
    """Facts from one source and day."""

    kind: str
    name: str
    address: str
    as_of: date
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True)
class Dossier:
    """Everything that a page shows of one tool. ``letter`` names its facts, ``short`` the tool in tables."""

    record: OnRecord
    verdict: VerdictIssued | None
    summary: Summary | None
    tally: Tally | None
    letter: str
    labels: Mapping[str, str]
    reviews: Mapping[str, Review] = field(default_factory=dict)

    @property
    def tool_id(self) -> str:
        """The tool's id."""
        return self.record.tool_id

    @property
    def slug(self) -> str:
        """The tool's name in addresses."""
        return self.record.tool.slug

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.record.tool.name

    @property
    def short(self) -> str:
        """The tool's name in tables."""
        return self.record.tool.short_name

    @property
    def edges(self) -> tuple[float, float]:
        """Skip below the first, ship from the second; points of 100."""
        return self.summary.edges if self.summary else DEFAULT_EDGES

    @property
    def scored(self) -> Scored:
        """The panel's score with its interval."""
        return scored(self.verdict.score, self.verdict.interval) if self.verdict else Scored(None, None)

    @property
    def conflicting(self) -> int:
        """How many facts something disagrees with."""
        return sum(bool(fact.conflicts_with) for fact in self.record.tool.facts)

    @property
    def dates(self) -> str:
        """From when to when the evidence is."""
        days = [fact.as_of for fact in self.record.tool.facts]
        return words.days(min(days), max(days)) if days else "no evidence yet"

    @property
    def shared_note(self) -> str | None:
        """What every review says of itself, such as a conflict of interest; shown once."""
        notes = {review.note for review in self.reviews.values()}
        return next(iter(notes)) if len(notes) == 1 and len(self.reviews) > 1 else None

    @property
    def out_of_date(self) -> bool:
        """Whether the evidence has changed since the verdict."""
        return bool(self.verdict and self.verdict.tool_version < self.record.version)

    def cite(self, fact_ids: Iterable[str]) -> tuple[str, ...]:
        """Labels of the facts that are still on record."""
        return tuple(self.labels[fact_id] for fact_id in fact_ids if fact_id in self.labels)

    def fact(self, fact_id: str | None) -> Fact | None:
        """A fact on record."""
        return next((fact for fact in self.record.tool.facts if fact.fact_id == fact_id), None)

    def clashes(self) -> list[Clash]:
        """Every contradiction of the dossier, once."""
        found: dict[frozenset[str], Clash] = {}
        for fact in self.record.tool.facts:
            for conflict in fact.conflicts_with:
                other = self.fact(conflict.fact_id)
                key = frozenset((fact.fact_id, other.fact_id if other else conflict.statement))
                found.setdefault(
                    key,
                    Clash(
                        subject=conflict.subject or words.KINDS.get(fact.kind, fact.kind),
                        here=Side(conflict.here, fact.statement, self.labels[fact.fact_id]),
                        there=Side(
                            conflict.there,
                            other.statement if other else conflict.statement,
                            self.labels[other.fact_id] if other else "",
                        ),
                    ),
                )
        return list(found.values())

    def arguments(self) -> list[Argued]:
        """Each claim once, strongest first; which reviewers make it stands beside it."""
        if self.verdict is None:
            return []
        found: dict[str, tuple[Claim, list[str]]] = {}
        for review in self.verdict.reviews:
            for claim in review.claims:
                found.setdefault(claim.text, (claim, []))[1].append(review.persona_name)
        return sorted(
            (
                Argued(
                    text=claim.text,
                    lead_in=claim.lead_in,
                    labels=self.cite(claim.fact_ids),
                    stance=claim.stance,
                    probability=claim.probability,
                    check=claim.check,
                    counts=claim.counts,
                    contradicted_by=self.cite(claim.contradicted_by),
                    reviewers=tuple(dict.fromkeys(reviewers)),
                    quoted=claim.check == "quoted" or self.verdict.level == "tone_reader",
                )
                for claim, reviewers in found.values()
            ),
            key=lambda one: (not one.counts, -abs(one.probability - 0.5)),
        )

    def strongest(self, stance: str, limit: int = 2) -> list[Argued]:
        """The strongest counted claims of one stance."""
        return [one for one in self.arguments() if one.stance == stance and one.counts][:limit]

    def main_arguments(self) -> list[Argued]:
        """Two for, two against, one unclear where nothing is clearer, and what was struck."""
        chosen = self.strongest("for") + self.strongest("against")
        if len(chosen) < 3:
            chosen += self.strongest("unclear", 2)
        return chosen + [one for one in self.arguments() if not one.counts][:2]

    def sources(self, only: frozenset[str] | None = None) -> list[Source]:
        """Evidence by source and day, newest last read first; ``only`` these labels."""
        readings = {one.fact_id: one.stance for one in self.verdict.readings} if self.verdict else {}
        aside = {one.fact_id: one.explanation for one in self.verdict.set_aside} if self.verdict else {}
        groups: dict[tuple[str, date], list[Exhibit]] = {}
        for fact in self.record.tool.facts:
            if only is not None and self.labels[fact.fact_id] not in only:
                continue
            groups.setdefault((fact.source, fact.as_of), []).append(
                Exhibit(
                    label=self.labels[fact.fact_id],
                    statement=fact.statement,
                    kind=words.KINDS.get(fact.kind, fact.kind),
                    as_of=fact.as_of,
                    conflicts=tuple(conflict.statement for conflict in fact.conflicts_with),
                    stance=readings.get(fact.fact_id, ""),
                    set_aside=aside.get(fact.fact_id, ""),
                )
            )
        names = (self.record.tool.vendor, self.name, self.short)
        found = [
            Source(
                kind=words.source_kind(source, names),
                name=words.source_name(source),
                address=source if words.is_web(source) else "",
                as_of=as_of,
                exhibits=tuple(exhibits),
            )
            for (source, as_of), exhibits in groups.items()
        ]
        order = ("Vendor’s own page", "Third party", "Record", "Captured listing")
        return sorted(found, key=lambda one: (order.index(one.kind), one.as_of, one.name))

    def licence_facts(self) -> tuple[str, ...]:
        """Labels of facts about the licence, at most three."""
        licence = self.record.tool.licence
        if licence and licence.facts:
            return self.cite(licence.facts)
        return tuple(self.labels[one.fact_id] for one in self.record.tool.facts if one.kind == "licence")[:3]

    def licence_clash(self) -> Clash | None:
        """The contradiction about the licence, if there is one."""
        return next((clash for clash in self.clashes() if clash.subject.lower().startswith("licen")), None)


def open_dossier(
    record: OnRecord, verdict: VerdictIssued | None, tally: Tally | None, letter: str | None = None
) -> Dossier:
    """A tool's dossier; ``letter`` re-letters its facts, where two tools on a page have the same initial."""
    own = record.tool.letter
    letter = letter or own
    labels = {fact.fact_id: letter + fact.label[len(own) :] for fact in record.tool.facts}
    return Dossier(
        record=record,
        verdict=verdict,
        summary=summary_of(verdict) if verdict else None,
        tally=tally,
        letter=letter,
        labels=labels,
        reviews={review.persona: review for review in verdict.reviews} if verdict else {},
    )


def scored(score: float | None, interval: object | None) -> Scored:
    """A score of an event with its interval."""
    low, high = getattr(interval, "low", None), getattr(interval, "high", None)
    return Scored(score, Span(low, high) if low is not None and high is not None else None)


def pair_letters(first: OnRecord, second: OnRecord) -> tuple[str, str]:
    """Exhibit letters of two tools side by side: their initials, or A and B where these are the same."""
    letters = first.tool.letter, second.tool.letter
    return letters if letters[0] != letters[1] else ("A", "B")


def shown_labels(texts: Sequence[tuple[str, ...]]) -> frozenset[str]:
    """All labels of several citations."""
    return frozenset(label for labels in texts for label in labels)
