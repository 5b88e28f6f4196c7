"""votes.cast.v1: a voter's vote on a tool changed, or an operator released or voided it."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract
from ..topic import Topic


class VoteCast(Contract):
    """One voter's vote on one tool. `aggregate_version` counts this voter's changes to this tool's vote."""

    topic: ClassVar[Topic] = Topic(
        name="votes.cast.v1",
        key="tool_id",
        retention="forever",
        producer="votes",
        consumers=("votes",),
    )

    tool_id: str = Field(description="The tool.")
    voter: str = Field(description="Pseudonym of the voter, another one for each tool.")
    vote: Literal["ship", "skip", "withdrawn"] = Field(description="What the voter says now.")
    state: Literal["counted", "held", "voided"] = Field(
        description="Held votes are in quarantine; an operator releases (counted) or voids them."
    )
    reason: str | None = Field(default=None, description="Why it is held or voided, or by what it was released.")
    cast_at: datetime = Field(description="When (UTC).")
