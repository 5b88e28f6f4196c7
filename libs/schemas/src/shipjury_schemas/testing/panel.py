"""What the panel issues: exams, reviews, verdicts, comparisons, ratings."""

from datetime import date
from typing import Any

from ..comparison_issued.v1 import CaseAnswer, ComparisonIssued, Side
from ..reviewer_rated.v1 import Criterion, PersonaCard, ReviewerRated, TrackRecord
from ..verdict_issued.v1 import (
    Agreement,
    Answer,
    Claim,
    Counts,
    Exam,
    ExamProbe,
    Interval,
    Reading,
    Review,
    RunManifest,
    UseCase,
    VerdictIssued,
)
from .fixed import HASH, NOON, OTHER_TOOL_ID, TOOL_ID


def exam(**changes: Any) -> Exam:
    """The exam of a tone reader."""
    fields: dict[str, Any] = {
        "exam_id": HASH,
        "model": "smollm2-135m-instruct",
        "level": "tone_reader",
        "taken_at": NOON,
        "probes": (
            ExamProbe(
                probe="held_out_auc",
                label="Right on held-out facts (AUC)",
                value=0.9,
                interval=Interval(low=0.86, high=0.94),
                threshold=0.8,
                passed=True,
            ),
            ExamProbe(
                probe="hype_not_counted", label="Hype is not counted for the tool", value=0, threshold=1, passed=False
            ),
        ),
    }
    return Exam(**(fields | changes))


def review(persona: str = "builder", **changes: Any) -> Review:
    """A persona's review that says ship."""
    fields: dict[str, Any] = {
        "review_id": f"0193a000-0000-7000-8000-00000000{sum(persona.encode()):04x}",
        "persona": persona,
        "persona_name": persona.capitalize(),
        "model": "smollm2-135m-instruct",
        "score": 68,
        "interval": Interval(low=61, high=75),
        "verdict": "ship",
        "answers": (
            Answer(
                field="deciding_point",
                label="Deciding point",
                text="Backups can be restored with one documented command.",
                fact_ids=("quillbase-01",),
            ),
        ),
        "claims": (
            Claim(
                claim_id=f"{persona}-1",
                lead_in="On reliability:",
                text="Backups can be restored with one documented command.",
                stance="for",
                probability=0.93,
                fact_ids=("quillbase-01",),
                check="quoted",
                counts=True,
            ),
        ),
    }
    return Review(**(fields | changes))


def verdict_issued(**changes: Any) -> VerdictIssued:
    """A first verdict: ship, by four of five reviewers."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "verdict_id": "0193a000-0000-7000-8000-0000000000a1",
        "tool_id": TOOL_ID,
        "tool_slug": "quillbase",
        "tool_name": "Quillbase",
        "category": "RAG and vector databases",
        "tool_version": 1,
        "issued_at": NOON,
        "verdict": "ship",
        "score": 66,
        "interval": Interval(low=60, high=72),
        "counts": Counts(ship=4, skip=0, undecided=1, abstain=0),
        "ship_share": 1.0,
        "ship_share_interval": Interval(low=0.21, high=1.0),
        "level": "tone_reader",
        "exam": exam(),
        "agreement": Agreement(effective_votes=1.1, correlation=0.96, gwet_ac1=0.61, krippendorff_alpha=0.44),
        "reviews": (
            *(review(persona) for persona in ("builder", "skeptic", "founder", "futurist")),
            review("creator", verdict="undecided", score=57),
        ),
        "readings": tuple(
            Reading(fact_id=f"quillbase-{number:02}", probability=0.93, stance="for") for number in range(1, 6)
        ),
        "use_cases": (
            UseCase(
                use_case="run_on_your_own_hardware",
                label="Run on hardware you own",
                score=70,
                interval=Interval(low=60, high=80),
                facts=3,
                strongest="quillbase-01",
            ),
        ),
        "facts_read": 5,
        "evidence_from": date(2026, 11, 1),
        "evidence_to": date(2026, 11, 1),
        "manifest": RunManifest(
            run_id="0193a000-0000-7000-8000-0000000000b1",
            tool_version=1,
            evidence_hash=HASH,
            prompt_hash=HASH,
            model="smollm2-135m-instruct",
            weights=HASH,
            engine="llama.cpp b9999",
            seed=1,
            parameters={"temperature": "0"},
            requests=15,
            request_ids=("req_1",),
            cost_nano_usd=0,
        ),
    }
    return VerdictIssued(**(fields | changes))


def comparison_issued(**changes: Any) -> ComparisonIssued:
    """A comparison without an overall winner."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "comparison_id": f"{TOOL_ID}:{OTHER_TOOL_ID}",
        "issued_at": NOON,
        "a": Side(
            tool_id=TOOL_ID, slug="quillbase", name="Quillbase", verdict_id="0193a000-0000-7000-8000-0000000000a1"
        ),
        "b": Side(
            tool_id=OTHER_TOOL_ID, slug="inkwell", name="Inkwell", verdict_id="0193a000-0000-7000-8000-0000000000a2"
        ),
        "level": "tone_reader",
        "cases": (
            CaseAnswer(
                use_case="overall",
                label="Overall",
                winner="none",
                difference=4,
                interval=Interval(low=-5, high=13),
                fact_ids=("quillbase-01",),
                explanation="Quillbase leads by 4 points, but the interval crosses zero.",
            ),
        ),
    }
    return ComparisonIssued(**(fields | changes))


def reviewer_rated(**changes: Any) -> ReviewerRated:
    """The Skeptic on the embedded model."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "reviewer_id": "skeptic:smollm2-135m-instruct",
        "persona": "skeptic",
        "model": "smollm2-135m-instruct",
        "card": PersonaCard(
            name="Skeptic",
            asks_for="Direct competitors, where it breaks, what kills it",
            motto="Show me where it breaks.",
            excited_about=("a limit that the vendor states first",),
            tired_of=("benchmarks without a method",),
            weighs=("limit", "reliability"),
            rubric=(Criterion(name="Reliability", weight=1, low="Loses data", high="Survives anything"),),
        ),
        "exam": exam(),
        "track_record": TrackRecord(resolved=0, open=0),
        "rated_at": NOON,
    }
    return ReviewerRated(**(fields | changes))
