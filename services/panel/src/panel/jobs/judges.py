"""The judge in office: what stands behind the model's name, and the exam record that says what it may do."""

import asyncio
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from importlib.resources import files

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_delivery import enqueue
from shipjury_schemas import ReviewerRated
from shipjury_schemas.reviewer_rated.v1 import TrackRecord

from ..contracts import card, exam, restore_exam
from ..domain.exam import ExamRecord, JudgeIdentity, exam_id
from ..gateway import Gateway, ReadingFailed
from ..library import Library
from ..settings import Settings
from ..store import exams, tools

_log = structlog.get_logger("panel")


class NoExamYet(Exception):
    """The judge has sat no exam; judging waits for it."""


class Judges:
    """Knows the judge of the moment and its exam."""

    def __init__(
        self, engine: AsyncEngine, gateway: Gateway, library: Library, settings: Settings, clock: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._library = library
        self._settings = settings
        self._clock = clock

    async def identity(self) -> JudgeIdentity:
        """What stands behind the model's name now. Raises ``ReadingFailed`` where the gateway does not say."""
        return await self._gateway.identify(self._settings.weights, self._settings.engine)

    async def record(self, judge: JudgeIdentity) -> ExamRecord | None:
        """The exam that holds: one sat here, else one that came with the package, which is then kept."""
        wanted = exam_id(judge, self._library.frames_hash)
        async with self._engine.begin() as connection:
            known = await exams.newest(connection, wanted)
            if known:
                return restore_exam(known[0], judge.model)
            document = shipped(wanted)
            if document is None:
                return None
            record = restore_exam(document, judge.model)
            await exams.keep(connection, document, record.taken_at, shipped=True)
            await self.rate(connection, record)
        return record

    async def wait_for_record(self, judge: JudgeIdentity) -> ExamRecord:
        """The exam that holds, asked for and waited for where there is none. Raises :class:`NoExamYet`."""
        deadline = asyncio.get_running_loop().time() + self._settings.exam_patience.total_seconds()
        while (record := await self.record(judge)) is None:
            await self.ask_for_exam(judge, "first")
            if asyncio.get_running_loop().time() > deadline:
                raise NoExamYet(f"{judge.described} has not finished its exam")
            await asyncio.sleep(1)
        return record

    async def ask_for_exam(self, judge: JudgeIdentity, why: str) -> bool:
        """Store the job that sits the exam. ``why`` sets a repeated exam apart from the first."""
        key = f"{exam_id(judge, self._library.frames_hash)}:{why}"
        async with self._engine.begin() as connection:
            return await enqueue(connection, tools.EXAM, key, asdict(judge))

    async def rate(self, connection: AsyncConnection, record: ExamRecord) -> int:
        """Publish each persona's card with the exam, where that is news. Returns how many were."""
        published = 0
        for persona in self._library.personas:
            rating = ReviewerRated(
                aggregate_version=1,
                reviewer_id=f"{persona.id}:{record.judge.model}",
                persona=persona.id,
                model=record.judge.model,
                card=card(persona),
                exam=exam(record),
                track_record=TrackRecord(resolved=0, open=0),
                rated_at=self._clock(),
            )
            published += await exams.rate(connection, rating)
        return published

    async def watch(self, stop: asyncio.Event) -> None:
        """Keep the exam current: rate the reviewers at the start, and sit the exam here when there is room for it."""
        while not stop.is_set():
            try:
                await self.look()
            except ReadingFailed as error:
                _log.info("the gateway does not name the judge yet", reason=str(error))
            try:
                await asyncio.wait_for(stop.wait(), self._settings.watch_interval.total_seconds())
            except TimeoutError:
                continue

    async def look(self) -> None:
        """One look: does the judge have its exam, are its ratings out, is it time to sit it here."""
        judge = await self.identity()
        record = await self.record(judge)
        if record is None:
            await self.ask_for_exam(judge, "first")
            return
        async with self._engine.begin() as connection:
            await self.rate(connection, record)
            known = await exams.newest(connection, record.exam_id)
            waiting = await tools.queue(connection)
            verdicts_wait = waiting.get("ready", 0) + waiting.get("running", 0)
        if self._settings.exam_again and known and known[1] and not verdicts_wait:
            await self.ask_for_exam(judge, "here")


def shipped(wanted: str) -> dict[str, object] | None:
    """The exam record of that id that came with the package."""
    for path in files("panel").joinpath("exams").iterdir():
        if path.name.endswith(".json"):
            document: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
            if document["exam_id"] == wanted:
                return document
    return None


def vendor_of(model: str, settings: Settings) -> str | None:
    """Who makes the model's weights, as the catalog names vendors; ``None`` where nobody has said."""
    if settings.model_vendor:
        return settings.model_vendor
    name = model.rpartition("/")[2].lower()
    table = tomllib.loads(files("panel").joinpath("vendors.toml").read_text(encoding="utf-8"))
    return next((str(vendor) for prefix, vendor in table.items() if name.startswith(prefix)), None)
