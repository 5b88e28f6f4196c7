"""comparisons.issued.v1: the panel compared two tools on an operator's request."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic
from ..verdict_issued.v1 import Interval, Level


class Side(Part):
    """One of the two tools."""

    tool_id: str = Field(description="The tool.")
    slug: str = Field(description="Its name in addresses.")
    name: str = Field(description="Its name as shown.")
    verdict_id: str = Field(description="The verdict that the comparison stands on.")


class CaseAnswer(Part):
    """The answer for one use case."""

    use_case: str = Field(description="Id, such as `run_on_your_own_gpu`; `overall` is the whole.")
    label: str = Field(description="The use case in words.")
    winner: Literal["a", "b", "none", "abstain"] = Field(
        description="`none` where the interval crosses zero or the two orders disagree; `abstain` without evidence."
    )
    difference: float | None = Field(description="Score of a minus score of b.")
    interval: Interval | None = Field(default=None, description="95 % interval of the difference.")
    fact_ids: tuple[str, ...] = Field(default=(), description="Facts that the answer rests on.")
    explanation: str = Field(description="The answer in one sentence.")


class ComparisonIssued(Contract):
    """Which of two tools to ship with, by use case. Side `a` has the smaller tool id."""

    topic: ClassVar[Topic] = Topic(
        name="comparisons.issued.v1",
        key="comparison_id",
        retention="compacted",
        producer="panel",
        consumers=("catalog", "notifier"),
    )

    comparison_id: str = Field(description="Both tool ids in order, joined by `:`.")
    issued_at: datetime = Field(description="When (UTC).")
    a: Side = Field(description="One tool.")
    b: Side = Field(description="The other.")
    level: Level = Field(description="What the judge may be trusted with.")
    cases: tuple[CaseAnswer, ...] = Field(description="The overall answer, then use case by use case.")
    orders_agree: bool | None = Field(
        default=None, description="Whether both orders gave the same winner; null where order plays no part."
    )
