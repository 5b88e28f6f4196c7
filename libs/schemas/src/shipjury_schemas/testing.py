"""Builders of events with readable defaults, for our tests and for those of anybody who subscribes.

``tool_published(name="Quillbase")`` is a whole, valid event; every field can be overridden by its name. Values are
fixed (no clock, no randomness), so that what is built twice is equal; give ids of your own where they must differ.
"""

from datetime import UTC, date, datetime
from typing import Any

from .comparison_issued.v1 import CaseAnswer, ComparisonIssued, Side
from .contract import Contract
from .digest_sent.v1 import DigestItem, DigestSent
from .edge_benchmarked.v1 import EdgeBenchmarked
from .edge_deployment.v1 import EdgeDeployment, WantedModel
from .edge_node.v1 import EdgeNode, LoadedModel
from .envelope import Event
from .inference_anomaly.v1 import InferenceAnomaly
from .inference_used.v1 import InferenceUsed, Tokens
from .reviewer_rated.v1 import Criterion, PersonaCard, ReviewerRated, TrackRecord
from .tally_changed.v1 import TallyChanged
from .tool_published.v1 import Fact, Pricing, ToolPublished
from .verdict_issued.v1 import (
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
from .vote_cast.v1 import VoteCast

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOOL_ID = "0193a000-0000-7000-8000-000000000001"
OTHER_TOOL_ID = "0193a000-0000-7000-8000-000000000002"
HASH = "5f" * 32


def event(data: Contract, **changes: Any) -> Event[Any]:
    """An event around data, with a fixed id and time unless told otherwise."""
    fields: dict[str, Any] = {
        "source": f"/shipjury/{data.topic.producer}",
        "id": "0193a000-0000-7000-8000-0000000000e1",
        "time": NOON,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return Event(data=data, **(fields | changes))


def fact(number: int = 1, **changes: Any) -> Fact:
    """A fact of a dossier; ``number`` makes its id and label."""
    fields: dict[str, Any] = {
        "fact_id": f"quillbase-{number:02}",
        "label": f"Q{number:02}",
        "statement": "Backups can be restored with one documented command.",
        "kind": "capability",
        "topics": ("reliability", "documentation"),
        "source": "https://example.org/quillbase/docs/backup",
        "as_of": date(2026, 11, 1),
        "content_hash": HASH,
    }
    return Fact(**(fields | changes))


def tool_published(**changes: Any) -> ToolPublished:
    """A vector database with five facts."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "tool_id": TOOL_ID,
        "status": "published",
        "slug": "quillbase",
        "name": "Quillbase",
        "vendor": "Quillbase BV",
        "category": "RAG and vector databases",
        "tagline": "A vector database that runs on a laptop.",
        "description": "Quillbase stores embeddings and searches them, on one machine or on several.",
        "website": "https://example.org/quillbase",
        "pricing": Pricing(summary="Free under Apache-2.0; hosted by the gigabyte", model="freemium", free_entry=True),
        "best_for": "Small teams that want to run their own search",
        "aliases": ("Quill",),
        "facts": tuple(fact(number) for number in range(1, 6)),
        "content_hash": HASH,
        "published_at": NOON,
    }
    return ToolPublished(**(fields | changes))


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


def vote_cast(**changes: Any) -> VoteCast:
    """A first vote to ship."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "tool_id": TOOL_ID,
        "voter": "v-0001",
        "vote": "ship",
        "state": "counted",
        "cast_at": NOON,
    }
    return VoteCast(**(fields | changes))


def tally_changed(**changes: Any) -> TallyChanged:
    """41 of 58 to ship, three held."""
    fields: dict[str, Any] = {
        "aggregate_version": 61,
        "tool_id": TOOL_ID,
        "ship": 41,
        "skip": 17,
        "held": 3,
        "share": 41 / 58,
        "interval": Interval(low=0.58, high=0.81),
        "head": HASH,
        "changed_at": NOON,
    }
    return TallyChanged(**(fields | changes))


def inference_used(**changes: Any) -> InferenceUsed:
    """A completion on an edge node."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "entry_id": "0193a000-0000-7000-8000-0000000000c1",
        "kind": "attempt",
        "attempt_id": "0193a000-0000-7000-8000-0000000000c2",
        "request_id": "req_1",
        "organisation_id": "default",
        "project_id": "panel",
        "key_id": "key_1",
        "provider": "edge-1",
        "model": "smollm2-135m-instruct",
        "route": "/v1/completions",
        "outcome": "ok",
        "tokens": Tokens(input=32, cached_input=8, output=1),
        "cost_nano_usd": 0,
        "price_version": "edge-2026-11-20",
        "started_at": NOON,
        "duration_ms": 14,
        "usage_day": date(2026, 11, 20),
    }
    return InferenceUsed(**(fields | changes))


def inference_anomaly(**changes: Any) -> InferenceAnomaly:
    """A project that spends forty times what its baseline expects."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "anomaly_id": "0193a000-0000-7000-8000-0000000000d1",
        "project_id": "panel",
        "model": "*",
        "state": "opened",
        "observed_nano_usd_per_minute": 40_000_000,
        "expected_nano_usd_per_minute": 1_000_000,
        "throttled": False,
        "since": NOON,
    }
    return InferenceAnomaly(**(fields | changes))


def edge_node(**changes: Any) -> EdgeNode:
    """A node that holds the embedded model."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "node_id": "edge-1",
        "state": "ready",
        "base_url": "http://127.0.0.1:8090/v1",
        "engine": "llama.cpp b9999",
        "memory_bytes": 4 * 1024**3,
        "memory_used_bytes": 300 * 1024**2,
        "labels": {"site": "office"},
        "models": (
            LoadedModel(
                model="smollm2-135m-instruct",
                state="ready",
                context_tokens=2048,
                slots=4,
                weights_sha256=HASH,
                quantization="Q4_K_M",
                licence="Apache-2.0",
                max_logprobs=1000,
                capabilities=("chat", "completions", "logprobs"),
                tokens_per_second=80.0,
            ),
        ),
        "heartbeat_seconds": 5,
        "beat_at": NOON,
    }
    return EdgeNode(**(fields | changes))


def edge_deployment(**changes: Any) -> EdgeDeployment:
    """One model wanted on a node."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "node_id": "edge-1",
        "models": (WantedModel(model="smollm2-135m-instruct", context_tokens=2048, slots=4),),
        "deployed_at": NOON,
    }
    return EdgeDeployment(**(fields | changes))


def edge_benchmarked(**changes: Any) -> EdgeBenchmarked:
    """A measurement of the embedded model."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "benchmark_id": "edge-1:smollm2-135m-instruct",
        "node_id": "edge-1",
        "model": "smollm2-135m-instruct",
        "engine": "llama.cpp b9999",
        "time_to_first_token_ms": 20,
        "prefill_tokens_per_second": 900,
        "decode_tokens_per_second": 80,
        "resident_bytes": 300 * 1024**2,
        "measured_at": NOON,
    }
    return EdgeBenchmarked(**(fields | changes))


def digest_sent(**changes: Any) -> DigestSent:
    """A first issue with one new verdict."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "digest_id": "weekly-2026-W47",
        "number": 1,
        "title": "Weekly AI Tool Verdicts, 20 November 2026",
        "period_from": datetime(2026, 11, 13, 8, 0, tzinfo=UTC),
        "period_to": datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
        "items": (
            DigestItem(
                kind="new_verdict",
                tool_id=TOOL_ID,
                slug="quillbase",
                title="Quillbase: ship",
                verdict="ship",
                text="Four of five reviewers say ship; score 66, interval 60 to 72.",
            ),
        ),
        "recipients": 12,
        "level_note": "Judged by a tone reader: one effective vote, not five.",
        "sent_at": NOON,
    }
    return DigestSent(**(fields | changes))


def examples() -> tuple[Contract, ...]:
    """One example of each contract, in the order of the journey."""
    return (
        tool_published(),
        verdict_issued(),
        comparison_issued(),
        reviewer_rated(),
        vote_cast(),
        tally_changed(),
        inference_used(),
        inference_anomaly(),
        edge_node(),
        edge_deployment(),
        edge_benchmarked(),
        digest_sent(),
    )
