"""Sit the exam: the judge reads the calibration sets, the figures are marked, the record is kept and published."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery import Job, complete

from ..contracts import store_exam
from ..domain.calibration import facts_of, pairs
from ..domain.exam import ExamRecord, JudgeIdentity, exam_id, level_of
from ..domain.probes import Papers, Sat, counted, mark
from ..domain.tone import FRAMES, REWORDED, Frame
from ..gateway import TRACER, Gateway
from ..library import Library
from ..store import exams, runs
from .judges import Judges
from .reading import Desk, judge_key

_log = structlog.get_logger("panel")


class _PairFrame(Frame):
    """A question about two tools, continued as it stands; A against B."""

    def prompt(self, statement: str) -> str:
        return statement


PAIR = _PairFrame("", "a", "b")


class SitExam:
    """The handler of exam jobs."""

    def __init__(
        self,
        engine: AsyncEngine,
        gateway: Gateway,
        judges: Judges,
        library: Library,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._judges = judges
        self._library = library
        self._clock = clock

    async def __call__(self, job: Job) -> None:
        """Sit the exam that the job names; an exam cut short by a crash goes on where it was."""
        judge = JudgeIdentity(**job.payload)
        now_behind_the_name = await self._judges.identity()
        if now_behind_the_name != judge:
            _log.info("the judge changed before its exam", was=judge.described, now=now_behind_the_name.described)
            return
        with TRACER.start_as_current_span("sit exam", attributes={"panel.model": judge.model}):
            record = await self.sit(judge, f"exam:{job.key}")
        async with self._engine.begin() as connection:
            document = store_exam(record).model_dump(mode="json")
            await exams.keep(connection, document, record.taken_at, shipped=False)
            await self._judges.rate(connection, record)
            for room in (f"exam:{job.key}", f"exam:{job.key}:again"):
                await runs.forget_readings(connection, judge_key(judge, room))
            await complete(connection, job)
        _log.info("exam sat", model=judge.model, allowed_as=record.level)

    async def sit(self, judge: JudgeIdentity, room: str) -> ExamRecord:
        """Read everything and mark it. Raises ``ReadingFailed`` where the judge does not answer."""
        papers = self._library.papers
        sat = await self._read(judge, room, papers)
        constants, edges, probes = await asyncio.to_thread(mark, papers, sat, self._library.personas)
        correlation = next((probe.value for probe in probes if probe.probe == "personas_correlate"), None)
        return ExamRecord(
            exam_id=exam_id(judge, self._library.frames_hash),
            judge=judge,
            frames_hash=self._library.frames_hash,
            level=level_of(probes),
            taken_at=self._clock(),
            probes=probes,
            constants=constants,
            edges=edges,
            correlation=correlation,
            facts=dict(counted(papers)),
        )

    async def _read(self, judge: JudgeIdentity, room: str, papers: Papers) -> Sat:
        desk = Desk(self._engine, self._gateway, judge_key(judge, room), room)
        again = Desk(self._engine, self._gateway, judge_key(judge, f"{room}:again"), room)
        everything = [fact.text for fact in facts_of((*papers.fit, *papers.examined))]
        read = await desk.read([*everything, *papers.texts.all], FRAMES)
        examined = [fact.text for fact in facts_of(papers.invented.examined)]
        reread = await again.read(examined[::-1], FRAMES[:1])
        reworded = await desk.read(examined, REWORDED)
        return Sat(read.differences, reread.differences, reworded.differences, await self._pairs(desk, papers))

    async def _pairs(self, desk: Desk, papers: Papers) -> Sequence[tuple[str, str]]:
        """Which of two tools wins, as placed, in each order of a pair."""
        asked = pairs(papers.examined)
        answers = await desk.read([text for pair in asked for text in (pair.question, pair.swapped)], (PAIR,))

        def winner(question: str) -> str:
            return "first" if answers.differences[question][0] > 0 else "second"

        return [(winner(pair.question), winner(pair.swapped)) for pair in asked]
