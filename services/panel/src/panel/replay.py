"""Redo a run from its manifest and compare: the proof that a verdict follows from its evidence."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from . import contracts
from .domain.defence import defend
from .domain.tone import FRAMES, Constants, difference
from .gateway import Gateway
from .jobs.judges import Judges
from .store import exams, runs, verdicts

CLOSE = 0.02
"""Probabilities that differ by no more are the same: engines add in another order when slots are shared."""


@dataclass(frozen=True)
class Replayed:
    """What came of it, in lines, and whether it is the same."""

    lines: tuple[str, ...]
    same: bool


async def replay(engine: AsyncEngine, gateway: Gateway, judges: Judges, run_id: str) -> Replayed | None:
    """Read the run's facts again, with its exam's constants, and compare. ``None`` where it issued no verdict."""
    async with engine.connect() as connection:
        run = await runs.get(connection, run_id)
        if run is None or run.state != "issued":
            return None
        record = await exams.at(connection, run.exam_id, run.exam_taken_at)
        issued = next(
            (
                one
                for one in await verdicts.history(connection, run.tool.tool_id, 1000)
                if one.manifest.run_id == run_id
            ),
            None,
        )
    if record is None or issued is None:
        return None
    judge = await judges.identity()
    constants = contracts.restore_exam(record).constants
    then = {reading.fact_id: reading.probability for reading in issued.readings}
    lines = [f"run {run_id}: {run.tool.name}, version {run.tool.aggregate_version}, verdict {issued.verdict}"]
    same = True
    for name, was, is_now in (
        ("weights", run.judge["weights"], judge.weights),
        ("engine", run.judge["engine"], judge.engine),
    ):
        if was != is_now:
            same = False
            lines.append(f"{name} changed: {was} then, {is_now} now")
    widest, flipped = 0.0, 0
    for fact in defend(contracts.dossier(run.tool).facts).readable:
        now_at = await _probability(gateway, constants, fact.statement)
        apart = abs(now_at - then[fact.fact_id])
        widest = max(widest, apart)
        if apart > CLOSE:
            flipped += 1
            lines.append(f"{fact.label}: p {then[fact.fact_id]:.3f} then, {now_at:.3f} now")
    lines.append(f"{len(then)} facts read again, widest difference {widest:.4f}, {flipped} apart by more than {CLOSE}")
    return Replayed(tuple(lines), same and not flipped)


async def _probability(gateway: Gateway, constants: Constants, statement: str) -> float:
    answers = [await gateway.next_token(frame.prompt(statement)) for frame in FRAMES]
    return constants.probability(
        [difference(frame, answer.chances) for frame, answer in zip(FRAMES, answers, strict=True)]
    )
