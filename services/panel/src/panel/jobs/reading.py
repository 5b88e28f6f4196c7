"""Reads statements by a judge: what was read before is taken from the store, the rest is asked of the gateway.

All statements of one frame go in a row, the first by itself: the engine keeps the prompt's beginning, and the others
find it there. Each difference is kept the moment it is there, so that a crash repeats the calls in flight and no more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain.exam import JudgeIdentity
from ..domain.tone import Frame, difference
from ..gateway import TRACER, Gateway
from ..store import runs
from ..store.runs import Kept


@dataclass(frozen=True)
class ReadStatements:
    """Differences by statement, one a frame, and the gateway's ids of the calls that they came from."""

    differences: Mapping[str, tuple[float, ...]]
    request_ids: tuple[str, ...]


def judge_key(judge: JudgeIdentity, room: str = "") -> str:
    """Whose readings these are: weights and engine build. ``room`` keeps an exam's readings to itself."""
    parts = (judge.model, judge.weights or "", judge.engine or "", room)
    return sha256("|".join(parts).encode()).hexdigest()


def _prompt_key(frame: Frame, statement: str) -> str:
    return sha256(f"{frame.prompt(statement)}|{frame.good}|{frame.bad}".encode()).hexdigest()


class Desk:
    """Where one run or exam reads: a judge's gateway, and the store that remembers."""

    def __init__(self, engine: AsyncEngine, gateway: Gateway, key: str, run_id: str) -> None:
        self._engine = engine
        self._gateway = gateway
        self._key = key
        self._run_id = run_id

    async def read(self, statements: Sequence[str], frames: Sequence[Frame]) -> ReadStatements:
        """Read each statement in each frame. Raises ``ReadingFailed`` where the judge does not answer."""
        wanted = list(dict.fromkeys(statements))
        kept: dict[str, Kept] = {}
        for frame in frames:
            kept |= await self._read_in(frame, wanted)
        keys = {text: [_prompt_key(frame, text) for frame in frames] for text in wanted}
        ids = [kept[key].request_id for of_text in keys.values() for key in of_text]
        return ReadStatements(
            differences={text: tuple(kept[key].difference for key in of_text) for text, of_text in keys.items()},
            request_ids=tuple(dict.fromkeys(one for one in ids if one)),
        )

    async def _read_in(self, frame: Frame, statements: Sequence[str]) -> dict[str, Kept]:
        keys = {_prompt_key(frame, text): text for text in statements}
        async with self._engine.connect() as connection:
            kept = await runs.known_readings(connection, self._key, list(keys))
        missing = [key for key in keys if key not in kept]
        if not missing:
            return kept
        first, *others = missing
        with TRACER.start_as_current_span("read facts", attributes={"panel.facts": len(missing)}):
            kept[first] = await self._ask(frame, keys[first], first)
            try:
                async with asyncio.TaskGroup() as group:
                    asked = {key: group.create_task(self._ask(frame, keys[key], key)) for key in others}
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None  # one clear sentence for the job; the others say the same
        return kept | {key: task.result() for key, task in asked.items()}

    async def _ask(self, frame: Frame, statement: str, key: str) -> Kept:
        answer = await self._gateway.next_token(frame.prompt(statement))
        reading = Kept(difference(frame, answer.chances), answer.request_id, answer.cost_nano_usd)
        async with self._engine.begin() as connection:
            await runs.keep_reading(connection, self._key, key, self._run_id, reading)
        return reading
