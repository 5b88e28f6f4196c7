"""Between the domain and the events: dossiers come in, reviews and verdicts go out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from shipjury_schemas import ToolPublished
from shipjury_schemas.contract import Part
from shipjury_schemas.reviewer_rated.v1 import Criterion, PersonaCard
from shipjury_schemas.verdict_issued import v1 as wire

from .domain.defence import SetAside
from .domain.dossier import Conflict, Dispute, Dossier, Fact
from .domain.exam import ExamRecord, JudgeIdentity, Probe, level_of
from .domain.personas import Persona
from .domain.reviews import Answer, Claim, Review
from .domain.scoring import Edges
from .domain.statistics import Range, Sigmoid
from .domain.tone import Constants, Reading, Scale
from .domain.use_cases import CaseScore
from .domain.verdicts import Agreement


def dossier(tool: ToolPublished) -> Dossier:
    """The tool as the panel reads it."""
    return Dossier(
        tool_id=tool.tool_id,
        version=tool.aggregate_version,
        slug=tool.slug,
        name=tool.name,
        vendor=tool.vendor,
        category=tool.category,
        facts=tuple(
            Fact(
                fact_id=fact.fact_id,
                label=fact.label,
                statement=fact.statement,
                kind=fact.kind,
                topics=fact.topics,
                source=fact.source,
                as_of=fact.as_of,
                content_hash=fact.content_hash,
                conflicts_with=tuple(Conflict(one.statement, one.fact_id) for one in fact.conflicts_with),
            )
            for fact in tool.facts
        ),
        retired=tool.status == "retired",
    )


def interval(found: Range | None) -> wire.Interval | None:
    """An interval as events carry it, to six digits."""
    return wire.Interval(low=round(found.low, 6), high=round(found.high, 6)) if found else None


def figure(value: float | None) -> float | None:
    """A figure to six digits: more would be noise."""
    return None if value is None else round(value, 6)


def review(run_id: str, found: Review, model: str) -> wire.Review:
    """One persona's review."""
    return wire.Review(
        review_id=f"{run_id}:{found.persona}",
        persona=found.persona,
        persona_name=found.persona_name,
        model=model,
        score=figure(found.score),
        interval=interval(found.interval),
        verdict=found.verdict,
        note=found.note,
        answers=tuple(answer(one) for one in found.answers),
        claims=tuple(claim(one) for one in found.claims),
    )


def answer(one: Answer) -> wire.Answer:
    """A structured field."""
    return wire.Answer(field=one.field, label=one.label, text=one.text, fact_ids=(one.fact_id,) if one.fact_id else ())


def claim(one: Claim) -> wire.Claim:
    """A reason."""
    return wire.Claim(
        claim_id=one.claim_id,
        lead_in=one.lead_in,
        text=one.text,
        stance=one.stance,
        probability=round(one.probability, 6),
        fact_ids=(one.fact_id,),
        check=one.check,
        counts=one.counts,
        contradicted_by=one.contradicted_by,
    )


def readings(found: Iterable[Reading]) -> tuple[wire.Reading, ...]:
    """How each fact was read."""
    return tuple(
        wire.Reading(fact_id=one.fact_id, probability=round(one.probability, 6), stance=one.stance) for one in found
    )


def set_aside(found: Iterable[SetAside]) -> tuple[wire.SetAside, ...]:
    """What no model was shown."""
    return tuple(wire.SetAside(fact_id=one.fact_id, reason=one.reason, explanation=one.explanation) for one in found)


def disputes(found: Iterable[Dispute]) -> tuple[wire.Dispute, ...]:
    """Contradictions of the dossier."""
    return tuple(
        wire.Dispute(
            subject=one.subject,
            fact_id=one.fact_id,
            other_fact_id=one.other_fact_id,
            other_statement=one.other_statement,
        )
        for one in found
    )


def use_cases(found: Iterable[CaseScore]) -> tuple[wire.UseCase, ...]:
    """Scores by use case."""
    return tuple(
        wire.UseCase(
            use_case=one.use_case,
            label=one.label,
            score=figure(one.score),
            interval=interval(one.interval),
            facts=one.facts,
            strongest=one.strongest,
            weakest=one.weakest,
        )
        for one in found
    )


def agreement(found: Agreement) -> wire.Agreement:
    """Agreement and effective votes."""
    return wire.Agreement(
        effective_votes=round(found.effective_votes, 6),
        correlation=figure(found.correlation),
        gwet_ac1=figure(found.gwet_ac1),
        krippendorff_alpha=figure(found.krippendorff_alpha),
    )


def exam(record: ExamRecord) -> wire.Exam:
    """An exam's figures as they travel with each verdict."""
    return wire.Exam(
        exam_id=record.exam_id,
        model=record.judge.model,
        level=record.level,
        taken_at=record.taken_at,
        probes=tuple(probe(one) for one in record.probes),
    )


def probe(one: Probe) -> wire.ExamProbe:
    """One probe."""
    return wire.ExamProbe(
        probe=one.probe,
        label=one.label,
        value=figure(one.value),
        interval=interval(one.interval),
        threshold=one.threshold,
        passed=one.passed,
    )


def card(persona: Persona) -> PersonaCard:
    """The persona as data, for its page."""
    return PersonaCard(
        name=persona.name,
        asks_for=persona.asks_for,
        motto=persona.motto,
        excited_about=persona.excited_about,
        tired_of=persona.tired_of,
        weighs=tuple(sorted(persona.weighs)),
        rubric=tuple(Criterion(name=one.name, weight=one.weight, low=one.low, high=one.high) for one in persona.rubric),
    )


class StoredExam(Part):
    """An exam record as a document: in the database and in `exams/*.json`."""

    exam_id: str
    model: str
    weights: str | None
    engine: str | None
    frames_hash: str
    level: str
    taken_at: str
    facts: Mapping[str, int]
    scales: tuple[tuple[float, float], ...]
    """Median and standard deviation of each frame's differences, in nats."""
    curve: tuple[float, float]
    """Slope and intercept."""
    skip_below: float
    ship_at: float
    correlation: float | None
    probes: tuple[wire.ExamProbe, ...]


def store_exam(record: ExamRecord) -> StoredExam:
    """The record as a document."""
    return StoredExam(
        exam_id=record.exam_id,
        model=record.judge.model,
        weights=record.judge.weights,
        engine=record.judge.engine,
        frames_hash=record.frames_hash,
        level=record.level,
        taken_at=record.taken_at.isoformat(),
        facts=record.facts,
        scales=tuple((scale.median, scale.deviation) for scale in record.constants.scales),
        curve=(record.constants.curve.slope, record.constants.curve.intercept),
        skip_below=record.edges.skip_below,
        ship_at=record.edges.ship_at,
        correlation=record.correlation,
        probes=tuple(probe(one) for one in record.probes),
    )


def restore_exam(document: Mapping[str, object], model: str | None = None) -> ExamRecord:
    """A record from its document. ``model`` is the name that the gateway gives the same weights here."""

    stored = StoredExam.model_validate(document)
    probes = tuple(
        Probe(one.probe, one.label, one.value, _range(one.interval), one.threshold, one.passed) for one in stored.probes
    )
    return ExamRecord(
        exam_id=stored.exam_id,
        judge=JudgeIdentity(model or stored.model, stored.weights, stored.engine),
        frames_hash=stored.frames_hash,
        level=level_of(probes),
        taken_at=datetime.fromisoformat(stored.taken_at),
        probes=probes,
        constants=Constants(tuple(Scale(median, spread) for median, spread in stored.scales), Sigmoid(*stored.curve)),
        edges=Edges(stored.skip_below, stored.ship_at),
        correlation=stored.correlation,
        facts=dict(stored.facts),
    )


def _range(found: wire.Interval | None) -> Range | None:
    return Range(found.low, found.high) if found else None


def votes(reviews: Sequence[wire.Review]) -> list[str]:
    """The reviewers' verdicts."""
    return [one.verdict for one in reviews]
