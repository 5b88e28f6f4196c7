"""reviewers.rated.v1: what is known about a persona on a model."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic
from ..verdict_issued.v1 import Exam


class Criterion(Part):
    """One criterion of a persona's rubric."""

    name: str = Field(description="The criterion.")
    weight: float = Field(ge=0, description="Its weight in the score.")
    low: str = Field(description="What 0 means.")
    high: str = Field(description="What 10 means.")


class PersonaCard(Part):
    """The persona as data: what a reader should know about this reviewer."""

    name: str = Field(description="Name as shown, such as `Skeptic`.")
    asks_for: str = Field(description="What it asks for, in one line.")
    motto: str = Field(description="Its motto.")
    excited_about: tuple[str, ...] = Field(default=(), description="What it gets excited about.")
    tired_of: tuple[str, ...] = Field(default=(), description="What it is tired of.")
    weighs: tuple[str, ...] = Field(default=(), description="Kinds and topics of facts that it weighs fully.")
    rubric: tuple[Criterion, ...] = Field(default=(), description="Its rubric.")


class TrackRecord(Part):
    """How its dated predictions came out."""

    resolved: int = Field(ge=0, description="Predictions that came due and were resolved.")
    open: int = Field(ge=0, description="Predictions that are not due.")
    brier: float | None = Field(default=None, description="Mean Brier score; null without resolved ones.")


class ReviewerRated(Contract):
    """A persona on a model: its card, its exam, its record."""

    topic: ClassVar[Topic] = Topic(
        name="reviewers.rated.v1",
        key="reviewer_id",
        retention="compacted",
        producer="panel",
        consumers=("catalog",),
    )

    reviewer_id: str = Field(description="`persona:model`.")
    persona: str = Field(description="Id of the persona, such as `skeptic`.")
    model: str = Field(description="Model as the gateway names it.")
    card: PersonaCard = Field(description="The persona as data.")
    exam: Exam = Field(description="The model's exam.")
    track_record: TrackRecord = Field(description="Its predictions.")
    rated_at: datetime = Field(description="When (UTC).")
