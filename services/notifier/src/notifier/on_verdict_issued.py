"""verdicts.issued.v1 -> a change for the next issue, and mails to whoever waits for this tool's verdict to flip."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Event, VerdictIssued

from .domain.digest import Change, is_flip
from .store import changes


async def on_verdict_issued(connection: AsyncConnection, events: Sequence[Event[VerdictIssued]]) -> None:
    """Fold verdicts in order; one that is not newer is ignored."""
    for event in events:
        data = event.data
        newer = await changes.newer_verdict(
            connection,
            tool_id=data.tool_id,
            slug=data.tool_slug,
            name=data.tool_name,
            category=data.category,
            verdict=data.verdict,
            score=data.score,
            panel_share=data.ship_share,
            version=data.aggregate_version,
        )
        if not newer:
            continue
        previous = data.supersedes.verdict if data.supersedes else None
        change = Change(
            id=0,
            kind="verdict",
            tool_id=data.tool_id,
            slug=data.tool_slug,
            name=data.tool_name,
            category=data.category,
            verdict=data.verdict,
            score=data.score,
            previous=previous,
            why=data.supersedes.explanation if data.supersedes else "",
            summary=summary(data),
            level=data.level,
            issued_at=data.issued_at,
            traceparent=event.traceparent,
        )
        change_id = await changes.record(connection, change, event.id)
        if change_id is not None and is_flip(previous, data.verdict):
            await changes.queue_flip_mails(connection, change_id, data.tool_id, event.time, event.traceparent)


def summary(data: VerdictIssued) -> str:
    """The verdict in a sentence, with its counts."""
    counts = data.counts
    decided = counts.ship + counts.skip
    if data.verdict == "abstain" or data.score is None:
        facts = "1 fact" if data.facts_read == 1 else f"{data.facts_read} facts"
        return f"The panel abstains: too little evidence ({facts} read)."
    interval = f", interval {data.interval.low:.0f} to {data.interval.high:.0f}" if data.interval else ""
    return f"{counts.ship} ship and {counts.skip} skip of {decided} who decided; score {data.score:.0f}{interval}."
