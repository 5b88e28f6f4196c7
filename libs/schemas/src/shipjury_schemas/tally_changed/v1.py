"""tallies.changed.v1: the community's tally of a tool changed."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from ..contract import Contract
from ..topic import Topic
from ..verdict_issued.v1 import Interval


class TallyChanged(Contract):
    """A tool's tally and the head of its recountable log. `aggregate_version` is the log's length."""

    topic: ClassVar[Topic] = Topic(
        name="tallies.changed.v1",
        key="tool_id",
        retention="compacted",
        producer="votes",
        consumers=("catalog", "notifier"),
    )

    tool_id: str = Field(description="The tool.")
    ship: int = Field(ge=0, description="Counted votes to ship.")
    skip: int = Field(ge=0, description="Counted votes to skip.")
    held: int = Field(ge=0, description="Votes in quarantine; they do not count until released.")
    share: float | None = Field(
        default=None, ge=0, le=1, description="Ship over counted votes; null under the minimum of votes."
    )
    interval: Interval | None = Field(default=None, description="95 % Wilson interval of the share.")
    head: str = Field(description="Hash (hex) of the newest entry of the tool's log.")
    changed_at: datetime = Field(description="When (UTC).")
