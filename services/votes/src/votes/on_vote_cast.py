"""votes.cast.v1 -> logs and tallies, and tallies.changed.v1.

Events are keyed by tool, so one worker folds one tool. It folds against what it folded last, never against the table
of current votes: that one is ahead.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import Permanent
from shipjury_schemas import Event, VoteCast

from .domain import Cast
from .store import log

GROUP = "votes.on_vote_cast"


async def on_vote_cast(
    connection: AsyncConnection, events: Sequence[Event[VoteCast]], *, clock: Callable[[], datetime]
) -> None:
    """Fold a batch of votes into the logs and tallies of their tools."""
    await log.fold_casts(connection, [_cast(event.data) for event in events], clock())


def _cast(data: VoteCast) -> Cast:
    try:
        tool_id = str(UUID(data.tool_id))
    except ValueError as error:
        raise Permanent(f"tool_id {data.tool_id!r} is no UUID") from error
    return Cast(tool_id, data.voter, data.aggregate_version, data.vote, data.state, data.reason, data.cast_at)
