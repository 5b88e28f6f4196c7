"""An empty Redis is not an empty bill: budgets are counted again from the ledger before anything is admitted.

A shard whose epoch is not `open` admits nothing that falls under a budget. The rebuild first marks the shard and clears
its counters, then adds what ledger and stream hold; what settles meanwhile adds itself, and at worst counts twice.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils import uuid7

from ..domain.budgets import KEEP_S, window_id, window_start
from .admission import SHARDS, counters, epoch, shard_of, stream
from .entries import Facts
from .ledger import Entry
from .resp import RedisPipe
from .tables import budgets, ledger, projects

_LOCK = 0x5245_4255_494C  # one rebuild at a time: "REBUIL"
_log = structlog.get_logger("inference_gateway.rebuild")


async def open_shards(pipe: RedisPipe, engine: AsyncEngine, *, now: datetime, restoring_s: float = 0.0) -> int:
    """Rebuild and open every shard that is not open. Returns how many were. Raises ``RedisAway``.

    ``restoring_s`` is the time that living instances get to put back what they still know, before a shard opens; a
    ledger without a row has nothing to wait for.
    """
    closed = await _closed(pipe)
    if not closed:
        return 0
    async with engine.begin() as connection:
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        closed = await _closed(pipe)
        rows = await _budgets(connection)
        for shard in closed:
            await _rebuild(
                pipe, connection, shard, [row for row in rows if shard_of(row["organisation_id"]) == shard], now
            )
        if closed and await connection.scalar(sa.select(sa.exists().where(ledger.c.id > 0))):
            await asyncio.sleep(restoring_s)
        for shard in closed:
            value = await pipe.call("GET", epoch(shard))
            if isinstance(value, bytes) and value.startswith(b"restoring:"):
                await pipe.call("SET", epoch(shard), value.replace(b"restoring:", b"open:"))
    if closed:
        _log.info("budgets rebuilt from the ledger", shards=len(closed))
    return len(closed)


async def _closed(pipe: RedisPipe) -> list[int]:
    return [shard for shard in range(SHARDS) if not await _is_open(pipe, shard)]


async def _is_open(pipe: RedisPipe, shard: int) -> bool:
    value = await pipe.call("GET", epoch(shard))
    return isinstance(value, bytes) and value.startswith(b"open:")


async def _budgets(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Every budget with the organisation that it belongs to."""
    from .tables import keys

    of_project = sa.select(projects.c.organisation_id).where(projects.c.id == budgets.c.scope_id).scalar_subquery()
    of_key = (
        sa.select(projects.c.organisation_id)
        .join(keys, keys.c.project_id == projects.c.id)
        .where(keys.c.id == budgets.c.scope_id)
        .scalar_subquery()
    )
    owner = sa.case(
        (budgets.c.scope == "organisation", budgets.c.scope_id),
        (budgets.c.scope == "project", of_project),
        else_=of_key,
    )
    found = await connection.execute(sa.select(budgets, owner.label("organisation_id")))
    return [dict(row) for row in found.mappings()]


async def _rebuild(
    pipe: RedisPipe, connection: AsyncConnection, shard: int, rows: list[dict[str, Any]], now: datetime
) -> None:
    names = {row["id"]: f"{counters(shard)}{row['id']}:{window_id(row['window'], now)}" for row in rows}
    number = uuid7().hex
    await pipe.call("SET", epoch(shard), f"building:{number}")
    if names:
        await pipe.call("DEL", *names.values())
    waiting = await _waiting(pipe, shard)
    for row in rows:
        if row["metric"] == "concurrency":
            continue
        used = await _used(connection, row, now) + sum(
            _amount(row, entry) for entry in waiting if _counts(row, entry, now)
        )
        if used > 0:
            await pipe.call("INCRBY", names[row["id"]], used)
            if KEEP_S[row["window"]]:
                await pipe.call("EXPIRE", names[row["id"]], KEEP_S[row["window"]])
    await pipe.call("SET", epoch(shard), f"restoring:{number}")


async def _used(connection: AsyncConnection, row: dict[str, Any], now: datetime) -> int:
    """What the ledger says that a budget has counted in the window of ``now``."""
    since = max(filter(None, (row["created_at"], window_start(row["window"], now))))
    scope = {"organisation": ledger.c.organisation_id, "project": ledger.c.project_id, "key": ledger.c.key_id}
    what = {
        "nano_usd": sa.func.coalesce(sa.func.sum(ledger.c.cost_nano_usd), 0),
        "tokens": sa.func.coalesce(
            sa.func.sum(
                sa.case((ledger.c.kind == "reversal", -1), else_=1)
                * (sa.func.coalesce(ledger.c.input_tokens, 0) + sa.func.coalesce(ledger.c.output_tokens, 0))
            ),
            0,
        ),
        "requests": sa.func.count(sa.distinct(ledger.c.request_id)),
    }[row["metric"]]
    total = await connection.scalar(
        sa.select(what).where(scope[row["scope"]] == row["scope_id"], ledger.c.started_at >= since)
    )
    return int(total or 0)


async def _waiting(pipe: RedisPipe, shard: int) -> list[Entry]:
    answer = await pipe.call("XRANGE", stream(shard), "-", "+")
    entries = []
    for _, fields in answer if isinstance(answer, list) else []:
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        entries.append(Entry.decode(named[b"f"], named[b"o"]))
    return entries


def _counts(row: dict[str, Any], entry: Entry, now: datetime) -> bool:
    facts: Facts = entry.facts
    scope = {"organisation": facts.organisation_id, "project": facts.project_id, "key": facts.key_id}
    since = max(filter(None, (row["created_at"], window_start(row["window"], now))))
    return bool(scope[row["scope"]] == row["scope_id"]) and facts.started_at.astimezone(UTC) >= since


def _amount(row: dict[str, Any], entry: Entry) -> int:
    if row["metric"] == "requests":
        return int(entry.facts.first)
    if row["metric"] == "tokens":
        given, _, made = entry.outcome.get("tokens") or (0, 0, 0)
        return int(given + made)
    if entry.outcome["outcome"] == "uncertain":
        return entry.facts.bound_nano_usd or 0
    return int(entry.outcome["cost"] or 0)
