"""Judge one version of a tool: read its facts, write five reviews, issue one verdict.

Each step is kept as it is done. A crash repeats the one in flight; the verdict, its event, the end of the run and the
end of the job are one transaction.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils import uuid7

from shipjury_delivery import Job, complete
from shipjury_schemas.verdict_issued import v1 as wire

from .. import contracts
from ..domain.defence import Defended, defend
from ..domain.dossier import Dossier, contradicted, disputes, evidence_hash
from ..domain.exam import ExamRecord
from ..domain.reviews import Evidence, Review, review
from ..domain.scoring import seed_of
from ..domain.supersession import Grounds, what_changed
from ..domain.tone import FRAMES, TOP, Reading
from ..domain.use_cases import case_scores
from ..domain.verdicts import PanelVerdict, decide
from ..gateway import TRACER, Gateway
from ..library import Library
from ..settings import Settings
from ..store import exams, runs, tools, verdicts
from ..store.runs import Calls, Run
from .judges import Judges, vendor_of
from .reading import Desk, ReadStatements, judge_key

_log = structlog.get_logger("panel")

SUBJECTS = {
    "capability": "Capability",
    "maturity": "Maturity",
    "limit": "Limit",
    "ecosystem": "Ecosystem",
    "price": "Price",
    "performance": "Performance",
    "licence": "Licence",
    "privacy": "Privacy",
    "company": "Company",
}


@dataclass(frozen=True)
class Brief:
    """Everything that one judgement stands on."""

    run: Run
    record: ExamRecord
    dossier: Dossier
    defended: Defended
    evidence: Evidence
    read: ReadStatements
    seed: int


class JudgeTool:
    """The handler of judging jobs."""

    def __init__(
        self,
        engine: AsyncEngine,
        gateway: Gateway,
        judges: Judges,
        library: Library,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._judges = judges
        self._library = library
        self._settings = settings
        self._clock = clock

    async def __call__(self, job: Job) -> None:
        """Judge the tool that the job names, unless that has become pointless."""
        run = await self._take_up(job)
        if run is None:
            return
        with TRACER.start_as_current_span(
            "judge tool", attributes={"panel.run": run.run_id, "panel.tool": run.tool.slug}
        ):
            record = await self._record_of(run)
            if record.level == "refused":
                await self._refuse(job, run)
                return
            brief = await self._read(run, record)
            reviews = await self._review(brief)
            await self._issue(job, brief, reviews)

    async def _take_up(self, job: Job) -> Run | None:
        """The job's run; ``None`` where a newer version is known, the tool is retired, or the run is through."""
        async with self._engine.connect() as connection:
            tool = await tools.get(connection, job.payload["tool_id"])
        if tool is None or tool.version != job.payload["version"] or tool.published.status == "retired":
            return None
        judge = await self._judges.identity()
        record = await self._judges.wait_for_record(judge)
        document = runs.judge_document(judge.model, judge.weights, judge.engine)
        async with self._engine.begin() as connection:

            async def begin() -> Run:
                return await runs.begin(
                    connection,
                    job.key,
                    tool.published,
                    record.exam_id,
                    record.taken_at,
                    document,
                    self._library.prompt_hash,
                    self._clock(),
                )

            run = await begin()
            grounds = (record.exam_id, record.taken_at, self._library.prompt_hash)
            if run.state == "running" and (run.exam_id, run.exam_taken_at, run.prompt_hash) != grounds:
                await runs.restart(connection, run.run_id)  # begun under another judge: reviews must not mix
                run = await begin()
        return run if run.state == "running" else None

    async def _record_of(self, run: Run) -> ExamRecord:
        async with self._engine.connect() as connection:
            document = await exams.at(connection, run.exam_id, run.exam_taken_at)
        if document is None:
            raise LookupError(f"the exam record of run {run.run_id} is gone")
        return contracts.restore_exam(document, run.judge["model"])

    async def _read(self, run: Run, record: ExamRecord) -> Brief:
        dossier = contracts.dossier(run.tool)
        defended = defend(dossier.facts)
        desk = Desk(self._engine, self._gateway, judge_key(record.judge), run.run_id)
        read = await desk.read([fact.statement for fact in defended.readable], FRAMES)
        readings = {
            fact.fact_id: Reading(fact.fact_id, record.constants.probability(read.differences[fact.statement]))
            for fact in defended.readable
        }
        return Brief(
            run=run,
            record=record,
            dossier=dossier,
            defended=defended,
            evidence=Evidence(dossier.facts, readings, contradicted(dossier.facts)),
            read=read,
            seed=seed_of(evidence_hash(dossier.facts), record.exam_id),
        )

    async def _review(self, brief: Brief) -> list[wire.Review]:
        """Each persona's review, kept as it is finished; one that was kept before a crash is not written again."""
        async with self._engine.connect() as connection:
            kept = await runs.reviews_of(connection, brief.run.run_id)
        found: list[wire.Review] = []
        for persona in self._library.personas:
            if persona.id not in kept:
                with TRACER.start_as_current_span("review", attributes={"panel.persona": persona.id}):
                    written: Review = await asyncio.to_thread(
                        review,
                        persona,
                        brief.evidence,
                        brief.record.edges,
                        self._library.lead_ins,
                        brief.seed,
                        self._disclosure(brief),
                    )
                kept[persona.id] = contracts.review(brief.run.run_id, written, brief.record.judge.model)
                async with self._engine.begin() as connection:
                    await runs.keep_review(connection, brief.run.run_id, kept[persona.id], self._clock())
            found.append(kept[persona.id])
        return found

    def _disclosure(self, brief: Brief) -> str | None:
        """What a reader must know: the model's maker makes the tool. At this level the model sees no vendor's name
        but in a fact, and there is no other model to turn to; so the review stands and says so."""
        vendor = vendor_of(brief.record.judge.model, self._settings)
        if vendor is None or vendor.casefold() != brief.dossier.vendor.casefold():
            return None
        return f"Conflict of interest: the model {brief.record.judge.model} is made by {vendor}, the tool's vendor."

    async def _issue(self, job: Job, brief: Brief, reviews: list[wire.Review]) -> None:
        run = brief.run
        async with self._engine.begin() as connection:
            tool = await tools.get(connection, run.tool.tool_id, lock=True)
            if tool is None or tool.version != run.tool.aggregate_version or tool.published.status == "retired":
                await runs.end(connection, run.run_id, "outdated", self._clock())
                await complete(connection, job)
                return
            others = await verdicts.standing_votes(connection, run.tool.tool_id)
            previous = await verdicts.latest(connection, run.tool.tool_id)
            before = await runs.get(connection, previous.manifest.run_id) if previous else None
            calls = await runs.calls_of(connection, run.run_id)
            verdict = await asyncio.to_thread(self._compose, brief, reviews, others, previous, before, calls)
            await verdicts.issue(connection, verdict, run.run_id)
            await runs.end(connection, run.run_id, "issued", self._clock())
            await complete(connection, job)
        _log.info(
            "verdict issued",
            tool=run.tool.slug,
            verdict=verdict.verdict,
            score=verdict.score,
            version=verdict.aggregate_version,
        )

    def _compose(
        self,
        brief: Brief,
        reviews: list[wire.Review],
        others: list[list[str]],
        previous: wire.VerdictIssued | None,
        before: Run | None,
        calls: Calls,
    ) -> wire.VerdictIssued:
        personas, evidence, record = self._library.personas, brief.evidence, brief.record
        panel = decide(reviews, personas, evidence, record.edges, record.correlation, others, brief.seed)
        dossier = brief.dossier
        read = [fact for fact in dossier.facts if fact.fact_id in evidence.readings]
        return wire.VerdictIssued(
            aggregate_version=(previous.aggregate_version if previous else 0) + 1,
            verdict_id=str(uuid7()),
            tool_id=dossier.tool_id,
            tool_slug=dossier.slug,
            tool_name=dossier.name,
            category=dossier.category,
            tool_version=dossier.version,
            issued_at=self._clock(),
            verdict=panel.verdict,
            score=contracts.figure(panel.score),
            interval=contracts.interval(panel.interval),
            counts=_counts(panel),
            ship_share=contracts.figure(panel.ship_share),
            ship_share_interval=contracts.interval(panel.ship_share_interval),
            level="tone_reader",  # a model that passes as judge still judges as tone reader here
            exam=contracts.exam(record),
            agreement=contracts.agreement(panel.agreement),
            reviews=tuple(reviews),
            readings=contracts.readings(evidence.readings[fact.fact_id] for fact in read),
            set_aside=contracts.set_aside(brief.defended.set_aside),
            disputes=contracts.disputes(disputes(dossier.facts, SUBJECTS)),
            use_cases=contracts.use_cases(case_scores(self._library.use_cases, evidence, brief.seed)),
            facts_read=len(read),
            evidence_from=min((fact.as_of for fact in read), default=None),
            evidence_to=max((fact.as_of for fact in read), default=None),
            supersedes=self._superseded(brief, previous, before) if previous and before else None,
            manifest=manifest(brief, calls),
        )

    def _superseded(self, brief: Brief, previous: wire.VerdictIssued, before: Run) -> wire.Superseded:
        change = what_changed(_grounds(before), _grounds(brief.run))
        return wire.Superseded(
            verdict_id=previous.verdict_id,
            verdict=previous.verdict,
            score=previous.score,
            issued_at=previous.issued_at,
            cause=change.cause,
            explanation=change.explanation,
        )

    async def _refuse(self, job: Job, run: Run) -> None:
        """A model that did not pass issues no verdict."""
        _log.warning("the judge was refused by its exam; no verdict", tool=run.tool.slug, model=run.judge["model"])
        async with self._engine.begin() as connection:
            await runs.end(connection, run.run_id, "refused", self._clock())
            await complete(connection, job)


def _counts(panel: PanelVerdict) -> wire.Counts:
    counts = panel.counts
    return wire.Counts(
        ship=counts["ship"], skip=counts["skip"], undecided=counts["undecided"], abstain=counts["abstain"]
    )


def _grounds(run: Run) -> Grounds:
    facts = contracts.dossier(run.tool).facts
    weights = run.judge["weights"]
    judge = (
        f"{run.judge['model']}{f' ({weights[:12]})' if weights else ''} on {run.judge['engine'] or 'an unnamed engine'}"
    )
    return Grounds(facts, frozenset(contradicted(facts)), run.prompt_hash, judge)


def manifest(brief: Brief, calls: Calls) -> wire.RunManifest:
    """Everything needed to judge again."""
    run, record = brief.run, brief.record
    return wire.RunManifest(
        run_id=run.run_id,
        tool_version=run.tool.aggregate_version,
        evidence_hash=evidence_hash(brief.dossier.facts),
        prompt_hash=run.prompt_hash,
        model=record.judge.model,
        weights=run.judge["weights"],
        engine=run.judge["engine"],
        seed=None,  # one token at temperature 0: nothing is drawn; the bootstrap's seed follows from the evidence
        parameters={
            "max_tokens": "1",
            "temperature": "0",
            "logprobs": str(TOP),
            "frames": str(len(FRAMES)),
            "bootstrap_seed": str(brief.seed),
            "exam_taken_at": record.taken_at.isoformat(),
            "skip_below": f"{record.edges.skip_below:.4g}",  # pages draw the three zones by these
            "ship_at": f"{record.edges.ship_at:.4g}",
        },
        requests=calls.requests,
        request_ids=brief.read.request_ids[:100],
        cost_nano_usd=calls.cost_nano_usd,
    )
