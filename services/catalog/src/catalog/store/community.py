"""What votes, the notifier and edge runners tell: tallies, digests, benchmarks."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import DigestSent, EdgeBenchmarked, TallyChanged

from ..domain.verdict import Span, Tally


async def keep_tally(connection: AsyncConnection, tally: TallyChanged) -> bool:
    """Keep a tally; whether it was newer than what stood."""
    result = await connection.execute(
        text(
            "INSERT INTO tallies AS t (tool_id, version, event) VALUES (:id, :version, CAST(:event AS jsonb))"
            " ON CONFLICT (tool_id) DO UPDATE SET version = excluded.version, event = excluded.event"
            " WHERE t.version < excluded.version"
        ),
        {"id": UUID(tally.tool_id), "version": tally.aggregate_version, "event": tally.model_dump_json()},
    )
    return bool(result.rowcount)


async def keep_digest(connection: AsyncConnection, digest: DigestSent) -> bool:
    """Keep an issue of the digest; whether it was newer than what stood."""
    result = await connection.execute(
        text(
            "INSERT INTO digests AS d (digest_id, version, number, sent_at, event)"
            " VALUES (:id, :version, :number, :sent_at, CAST(:event AS jsonb))"
            " ON CONFLICT (digest_id) DO UPDATE SET version = excluded.version, number = excluded.number,"
            " sent_at = excluded.sent_at, event = excluded.event WHERE d.version < excluded.version"
        ),
        {
            "id": digest.digest_id,
            "version": digest.aggregate_version,
            "number": digest.number,
            "sent_at": digest.sent_at,
            "event": digest.model_dump_json(),
        },
    )
    return bool(result.rowcount)


async def keep_benchmark(connection: AsyncConnection, benchmark: EdgeBenchmarked) -> bool:
    """Keep a measurement; whether it was newer than what stood."""
    result = await connection.execute(
        text(
            "INSERT INTO benchmarks AS b (benchmark_id, version, event) VALUES (:id, :version, CAST(:event AS jsonb))"
            " ON CONFLICT (benchmark_id) DO UPDATE SET version = excluded.version, event = excluded.event"
            " WHERE b.version < excluded.version"
        ),
        {
            "id": benchmark.benchmark_id,
            "version": benchmark.aggregate_version,
            "event": benchmark.model_dump_json(),
        },
    )
    return bool(result.rowcount)


async def tally(connection: AsyncConnection, tool_id: str) -> Tally | None:
    """The community's tally of a tool; ``None`` before the first vote."""
    row = (
        await connection.execute(text("SELECT event FROM tallies WHERE tool_id = :id"), {"id": UUID(tool_id)})
    ).one_or_none()
    return tally_of(TallyChanged.model_validate(row.event)) if row else None


async def digests(connection: AsyncConnection, limit: int = 100) -> list[DigestSent]:
    """Issues of the digest, newest first."""
    rows = await connection.execute(
        text("SELECT event FROM digests ORDER BY sent_at DESC, number DESC LIMIT :limit"), {"limit": limit}
    )
    return [DigestSent.model_validate(row.event) for row in rows]


async def digest(connection: AsyncConnection, digest_id: str) -> DigestSent | None:
    """One issue."""
    row = (
        await connection.execute(text("SELECT event FROM digests WHERE digest_id = :id"), {"id": digest_id})
    ).one_or_none()
    return DigestSent.model_validate(row.event) if row else None


async def benchmarks(connection: AsyncConnection) -> list[EdgeBenchmarked]:
    """Measurements of models on edge nodes."""
    rows = await connection.execute(text("SELECT event FROM benchmarks ORDER BY benchmark_id"))
    return [EdgeBenchmarked.model_validate(row.event) for row in rows]


def tally_of(event: TallyChanged) -> Tally:
    """What pages show of a tally."""
    return Tally(
        version=event.aggregate_version,
        ship=event.ship,
        skip=event.skip,
        held=event.held,
        share=event.share,
        interval=Span(event.interval.low, event.interval.high) if event.interval else None,
    )
