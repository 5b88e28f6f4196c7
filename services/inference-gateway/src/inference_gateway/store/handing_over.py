"""Hands the journals of dead instances over: what neither ledger nor Redis knows becomes an entry, once.

An attempt with a result costs what it cost; one without is *uncertain* at its bound. A file is removed only when the
ledger has all that stands in it, so that a Redis that is lost meanwhile loses nothing.
"""

import asyncio
import os
from pathlib import Path

import orjson
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from .admission import REMEMBER_LOST_S, Admission, done_mark, open_attempts, script, shard_of, stream
from .entries import Facts
from .journal import Journal, Noted, instance_of, of_the_dead, read
from .resp import RedisPipe
from .tables import ledger, projects

_AT_ONCE = 200
_REMEMBER_SETTLED_S = 600
_UNCERTAIN = orjson.dumps({"outcome": "uncertain", "reason": "instance_lost"})
_log = structlog.get_logger("inference_gateway.journal")


class HandingOver:
    """Looks after a folder of journals."""

    def __init__(self, journal: Journal, admission: Admission, pipe: RedisPipe, engine: AsyncEngine) -> None:
        self._journal = journal
        self._admission = admission
        self._pipe = pipe
        self._engine = engine
        self._script = script("hand_over")
        self._settle = script("settle")
        self._handed: dict[Path, list[str]] = {}

    async def look(self) -> int:
        """Hand over the files of the dead, and remove what the ledger has. Returns how many attempts were handed over.

        Raises ``RedisAway`` and the database's errors; the next look tries again.
        """
        folder = self._journal.folder
        if folder is None:
            return 0
        for path in list(self._journal.written):
            if not await self._missing(await asyncio.to_thread(read, path)):
                self._journal.forget(path)
        count = 0
        dead = await asyncio.to_thread(of_the_dead, folder)
        try:
            for path, _ in dead:
                count += await self._hand_over(path)
        finally:
            for _, descriptor in dead:
                os.close(descriptor)
        return count

    async def _hand_over(self, path: Path) -> int:
        noted = await asyncio.to_thread(read, path)
        missing = await self._missing(noted)
        if not missing:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            return 0
        epochs = await self._admission.epochs()
        if self._handed.get(path) == epochs:
            return 0  # It is on its way to the ledger.
        instance, count = instance_of(path), 0
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            answers = await asyncio.gather(
                *(self._one(instance, noted.facts[one], noted.outcomes.get(one)) for one in some)
            )
            count += sum(answers)
        self._handed[path] = epochs
        if count:
            _log.warning("a dead instance's journal was handed over", instance=instance, attempts=count)
        return count

    async def _one(self, instance: str, raw: bytes, outcome: bytes | None) -> int:
        facts = Facts.decode(raw)
        shard = shard_of(facts.organisation_id)
        keys = [open_attempts(shard, instance), stream(shard), done_mark(shard, facts.attempt_id)]
        keys += [counter for counter, *_ in facts.counters]
        if outcome == b"":
            undo: list[str | bytes | int] = [facts.attempt_id, b"", *(-amount for _, _, amount, _ in facts.counters)]
            await self._pipe.run(self._settle, keys, undo)
            return 0
        arguments: list[str | bytes | int] = [facts.attempt_id, raw, outcome or _UNCERTAIN]
        arguments += ["u", REMEMBER_LOST_S] if outcome is None else ["s", _REMEMBER_SETTLED_S]
        for _, metric, amount, keep_s in facts.counters:
            took = _took(metric, amount, outcome)
            lost = 0 if metric == "concurrency" else took - amount
            arguments += (took - amount, lost, took, keep_s)
        return int(await self._pipe.run(self._script, keys, arguments) == 1)

    async def _missing(self, noted: Noted) -> list[str]:
        """Attempts of known projects that the ledger does not have, or has as lost though their end was seen."""
        ids = [one for one in noted.facts if noted.outcomes.get(one) != b""]
        released = [one for one, outcome in noted.outcomes.items() if outcome == b"" and one in noted.facts]
        final: set[str] = set()
        held: set[str] = set()
        async with self._engine.connect() as connection:
            for start in range(0, len(ids), 1000):
                some = sa.literal(ids[start : start + 1000], sa.ARRAY(sa.Text))
                for row in await connection.execute(
                    sa.select(ledger.c.attempt_id, ledger.c.kind, ledger.c.reason).where(
                        ledger.c.attempt_id == sa.any_(some)
                    )
                ):
                    held.add(row.attempt_id)
                    if row.kind == "correction" or (row.kind == "attempt" and row.reason != "instance_lost"):
                        final.add(row.attempt_id)
            known = set(await connection.scalars(sa.select(projects.c.id)))
        missing = [one for one in ids if one not in (final if one in noted.outcomes else held)]
        theirs = {one: orjson.loads(noted.facts[one])["project"] for one in missing}
        foreign = [one for one in missing if theirs[one] not in known]
        if foreign:
            _log.error("a journal names projects that this gateway does not have", attempts=len(foreign))
        mine = [one for one in missing if theirs[one] in known]
        return mine + [one for one in released if mine]


def _took(metric: str, amount: int, outcome: bytes | None) -> int:
    """What an ended attempt really took of a budget; where that is not known, what was reserved."""
    if metric == "concurrency":
        return 0
    told = None if outcome is None else orjson.loads(outcome)
    if told is None or told["outcome"] == "uncertain" or metric == "requests":
        return amount
    if metric == "nano_usd":
        return amount if told["cost"] is None else int(told["cost"])
    if told["outcome"] == "error":
        return 0
    return amount if told["tokens"] is None else int(told["tokens"][0] + told["tokens"][2])
