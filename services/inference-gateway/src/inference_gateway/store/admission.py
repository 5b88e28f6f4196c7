"""Reserve, settle, give up: budgets in Redis, each step one atomic script and one round trip.

Names: every key of an organisation lies in one of :data:`SHARDS` hash slots, so that one script may touch them all.
`sj:{N}:epoch` is `open:ID` while budgets are whole; the id changes when Redis has forgotten them.
`sj:{N}:open:INSTANCE` holds that instance's open attempts, and `sj:{N}:instances` names the instances.
`sj:{N}:settled` is the stream that the ledger worker empties. `sj:{N}:c:BUDGET:WINDOW` counts.
`sj:{N}:done:ATTEMPT` remembers how an attempt ended. `sj:instances` holds every instance's last heartbeat.
`sj:{N}:cool:PROVIDER/MODEL` is there while a provider has asked to be left alone (Retry-After): in every shard, so that
the script that reserves sees it.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from zlib import crc32

import orjson

from ..domain.budgets import Budget, Charge, actual_amount
from .resp import RedisAway, RedisPipe, Script

SHARDS = 16
INSTANCES = "sj:instances"
REMEMBER_LOST_S = 7 * 86_400


def script(name: str) -> Script:
    """A script of this folder's `lua/`."""
    return Script(name, (files("inference_gateway.store") / "lua" / f"{name}.lua").read_text(encoding="utf-8"))


def shard_of(organisation_id: str) -> int:
    """The shard that an organisation's keys lie in."""
    return crc32(organisation_id.encode()) % SHARDS


def stream(shard: int) -> str:
    """The stream of settled entries of a shard."""
    return f"sj:{{{shard}}}:settled"


def epoch(shard: int) -> str:
    """The key that says whether a shard's budgets are whole."""
    return f"sj:{{{shard}}}:epoch"


def counters(shard: int) -> str:
    """What every counter of a shard begins with."""
    return f"sj:{{{shard}}}:c:"


def open_attempts(shard: int, instance: str) -> str:
    """The hash of an instance's open attempts."""
    return f"sj:{{{shard}}}:open:{instance}"


def instances_of(shard: int) -> str:
    """The set of instances that may have open attempts in a shard."""
    return f"sj:{{{shard}}}:instances"


def cool_down(shard: int, deployment: str) -> str:
    """The key that is there while a deployment (`provider/model`) has asked to be left alone."""
    return f"sj:{{{shard}}}:cool:{deployment}"


def done_mark(shard: int, attempt_id: str) -> str:
    """The mark that an attempt has ended."""
    return f"sj:{{{shard}}}:done:{attempt_id}"


@dataclass(frozen=True, slots=True)
class Refused:
    """A budget that has no room: what it had counted, and what was asked of it."""

    budget: Budget
    used: int
    asked: int


@dataclass(frozen=True, slots=True)
class Cooling:
    """The provider asked some replica to be left alone for this long (s)."""

    seconds: float


@dataclass(slots=True)
class Reservation:
    """An open attempt: where it is held, what it was charged, and its facts as the ledger will need them.
    ``deployment`` is `provider/model`."""

    attempt_id: str
    shard: int
    charges: tuple[Charge, ...]
    facts: bytes
    bound_nano_usd: int | None = None
    deployment: str = ""


class AdmissionClosed(Exception):
    """Budgets are being rebuilt; nothing that falls under one is admitted until they are whole."""


class Admission:
    """Budgets, as the request path uses them. One instance of it belongs to one process."""

    def __init__(self, pipe: RedisPipe, instance: str) -> None:
        self.instance = instance
        self._pipe = pipe
        self._reserve = script("reserve")
        self._settle = script("settle")
        self._late = script("settle_late")
        self._restore = script("restore")
        self._cool = script("cool")
        self._open: dict[str, Reservation] = {}

    async def reserve(self, reservation: Reservation) -> Refused | Cooling | None:
        """Take the charges, all or none. Returns the budget that refuses, or how long the provider cools, if so.

        Raises :class:`AdmissionClosed`, :class:`RedisAway`.
        """
        shard = reservation.shard
        keys = [
            epoch(shard),
            open_attempts(shard, self.instance),
            instances_of(shard),
            cool_down(shard, reservation.deployment),
        ]
        arguments: list[str | bytes | int] = [reservation.attempt_id, reservation.facts, self.instance]
        for charge in reservation.charges:
            keys.append(charge.counter)
            arguments += (charge.amount, charge.budget.limit, charge.keep_s)
        answer = await self._pipe.run(self._reserve, keys, arguments)
        if not isinstance(answer, list) or answer[0] == -1:
            raise AdmissionClosed
        if answer[0] == 1:
            self._open[reservation.attempt_id] = reservation
            return None
        if answer[0] == -2:
            return Cooling(answer[1] / 1000)
        charge = reservation.charges[answer[1] - 1]
        return Refused(charge.budget, int(answer[2]), charge.amount)

    def settle(
        self, reservation: Reservation, outcome: bytes, *, nano_usd: int | None, tokens: int | None
    ) -> Coroutine[Any, Any, None]:
        """Replace the reservation by what it took, and hand the entry to the ledger. Sent before this returns, where
        Redis is there; what is returned waits for its answer, and raises :class:`RedisAway`."""
        shard, attempt = reservation.shard, reservation.attempt_id
        actual = [(charge, actual_amount(charge, nano_usd, tokens)) for charge in reservation.charges]
        keys = [open_attempts(shard, self.instance), stream(shard), done_mark(shard, attempt)]
        arguments: list[str | bytes | int] = [attempt, outcome]
        for charge, amount in actual:
            keys.append(charge.counter)
            arguments.append(amount - charge.amount)
        late: list[str | bytes | int] = [attempt, reservation.facts, outcome]
        for charge, amount in actual:
            difference = 0 if charge.budget.metric == "concurrency" else amount - charge.amount
            late += (difference, amount, charge.keep_s)
        return self._settled(attempt, self._pipe.run(self._settle, keys, arguments), keys[1:], late)

    async def _settled(
        self,
        attempt: str,
        sent: Coroutine[Any, Any, object],
        keys: list[str],
        late: list[str | bytes | int],
    ) -> None:
        answer = await sent
        self._open.pop(attempt, None)
        if answer not in (0, 1):
            await self._pipe.run(self._late, keys, late)

    async def cool(self, deployment: str, seconds: float) -> None:
        """Tell every replica that a provider asked to be left alone. Raises :class:`RedisAway`."""
        milliseconds = max(1, int(seconds * 1000))
        await asyncio.gather(
            *(self._pipe.run(self._cool, [cool_down(shard, deployment)], [milliseconds]) for shard in range(SHARDS))
        )

    async def beat(self) -> None:
        """Show that this instance lives (Redis's own clock)."""
        await self._pipe.call("ZADD", INSTANCES, await _redis_seconds(self._pipe), self.instance)

    async def release(self, reservation: Reservation) -> None:
        """Undo a reservation whose attempt never began. Raises :class:`RedisAway`."""
        shard = reservation.shard
        keys = [open_attempts(shard, self.instance), stream(shard), done_mark(shard, reservation.attempt_id)]
        arguments: list[str | bytes | int] = [reservation.attempt_id, b""]
        for charge in reservation.charges:
            keys.append(charge.counter)
            arguments.append(-charge.amount)
        await self._pipe.run(self._settle, keys, arguments)
        self._open.pop(reservation.attempt_id, None)

    async def restore(self, shard: int) -> int:
        """Put this instance's open attempts of a shard back, where Redis has forgotten them. Returns how many."""
        count = 0
        for one in [one for one in self._open.values() if one.shard == shard]:
            keys = [open_attempts(shard, self.instance), instances_of(shard), done_mark(shard, one.attempt_id)]
            arguments: list[str | bytes | int] = [one.attempt_id, one.facts, self.instance]
            for charge in one.charges:
                keys.append(charge.counter)
                arguments += (charge.amount, charge.keep_s)
            count += int(await self._pipe.run(self._restore, keys, arguments) == 1)
        return count

    async def epochs(self) -> list[str]:
        """Every shard's epoch; empty where there is none."""
        found = await asyncio.gather(*(self._pipe.call("GET", epoch(shard)) for shard in range(SHARDS)))
        return [value.decode() if isinstance(value, bytes) else "" for value in found]

    async def leave(self) -> None:
        """Go in order: nothing is open any more."""
        await self._pipe.call("ZREM", INSTANCES, self.instance)


class Reaper:
    """Takes the open attempts of instances that no longer beat for lost: *uncertain*, at their upper bound."""

    def __init__(self, pipe: RedisPipe, dead_after_s: float) -> None:
        self._pipe = pipe
        self._dead_after_s = dead_after_s
        self._give_up = script("give_up")
        self._missing_since: dict[str, int] = {}

    async def reap(self) -> int:
        """One round over all instances. Returns how many attempts were given up."""
        now = await _redis_seconds(self._pipe)
        beats = await self._pipe.call("ZRANGE", INSTANCES, 0, -1, "WITHSCORES")
        pairs = beats if isinstance(beats, list) else []
        seen = {name.decode(): int(float(beat)) for name, beat in zip(pairs[::2], pairs[1::2], strict=True)}
        members = await asyncio.gather(*(self._pipe.call("SMEMBERS", instances_of(shard)) for shard in range(SHARDS)))
        count = 0
        for shard, names in enumerate(members):
            for name in (raw.decode() for raw in (names if isinstance(names, list | set) else ())):
                # A wiped Redis has no beats for a moment: an instance without one is given the same time.
                beat = seen.get(name) or self._missing_since.setdefault(name, now)
                if now - beat > self._dead_after_s:
                    # Out of the set first: an instance that wakes up and reserves puts itself back.
                    await self._pipe.call("SREM", instances_of(shard), name)
                    count += await self._reap(shard, name)
        for name, beat in seen.items():
            self._missing_since.pop(name, None)
            if now - beat > 10 * self._dead_after_s:
                await self._pipe.call("ZREM", INSTANCES, name)
        return count

    async def _reap(self, shard: int, instance: str) -> int:
        key = open_attempts(shard, instance)
        found = await self._pipe.call("HGETALL", key)
        pairs = found if isinstance(found, list) else []
        count = 0
        for attempt, facts in zip(pairs[::2], pairs[1::2], strict=True):
            slots = [counter for counter, metric, *_ in orjson.loads(facts)["counters"] if metric == "concurrency"]
            outcome = orjson.dumps({"outcome": "uncertain", "reason": "instance_lost"})
            keys = [key, stream(shard), done_mark(shard, attempt.decode()), *slots]
            given_up = await self._pipe.run(
                self._give_up, keys, [attempt, outcome, REMEMBER_LOST_S, *[1 for _ in slots]]
            )
            count += int(given_up == 1)
        return count


class Streams:
    """The settled entries, as the ledger worker reads and removes them."""

    def __init__(self, pipe: RedisPipe) -> None:
        self._pipe = pipe

    async def read(self, count: int) -> list[tuple[int, bytes, bytes, bytes]]:
        """The oldest entries of all shards: shard, entry id, facts, outcome. They stay until :meth:`remove`."""
        names = {stream(shard): shard for shard in range(SHARDS)}
        answer = await self._pipe.call("XREAD", "COUNT", count, "STREAMS", *names, *("0" for _ in names))
        entries = []
        for name, items in answer if isinstance(answer, list) else []:
            for entry_id, fields in items:
                named = dict(zip(fields[::2], fields[1::2], strict=True))
                entries.append((names[name.decode()], entry_id, named[b"f"], named[b"o"]))
        return entries

    async def remove(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Remove entries that the ledger has."""
        by_shard: dict[int, list[bytes]] = {}
        for shard, entry_id in entries:
            by_shard.setdefault(shard, []).append(entry_id)
        await asyncio.gather(*(self._pipe.call("XDEL", stream(shard), *ids) for shard, ids in by_shard.items()))

    async def length(self) -> int:
        """How many entries wait for the ledger."""
        lengths = await asyncio.gather(*(self._pipe.call("XLEN", stream(shard)) for shard in range(SHARDS)))
        return sum(length for length in lengths if isinstance(length, int))


async def _redis_seconds(pipe: RedisPipe) -> int:
    """Redis's clock, in whole seconds: the one that all instances share."""
    answer = await pipe.call("TIME")
    if not isinstance(answer, list):
        raise RedisAway(f"TIME was answered with {answer!r}")
    return int(answer[0])


__all__ = ["Admission", "AdmissionClosed", "Cooling", "Reaper", "RedisAway", "Refused", "Reservation", "Streams"]
