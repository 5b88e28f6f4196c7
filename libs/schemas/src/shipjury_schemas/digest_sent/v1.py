"""digests.sent.v1: an issue of the digest was composed and handed to delivery."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic
from ..verdict_issued.v1 import Verdict


class DigestItem(Part):
    """One entry of an issue."""

    kind: Literal["new_verdict", "flip", "panel_against_community", "most_contested", "comparison"] = Field(
        description="Why it is in the issue."
    )
    tool_id: str | None = Field(default=None, description="The tool; null for a comparison.")
    slug: str = Field(description="Name in addresses; of a comparison `a-vs-b`.")
    title: str = Field(description="Heading of the entry.")
    verdict: Verdict | None = Field(default=None, description="The panel's verdict.")
    text: str = Field(description="The entry in one or two sentences.")


class DigestSent(Contract):
    """An immutable issue, for archives and for whoever reads no mail."""

    topic: ClassVar[Topic] = Topic(
        name="digests.sent.v1",
        key="digest_id",
        retention="forever",
        producer="notifier",
        consumers=("catalog",),
    )

    digest_id: str = Field(description="Id of the issue, such as `weekly-2026-W47`.")
    number: int = Field(ge=1, description="Number of the issue, counted from 1.")
    title: str = Field(description="Title of the issue.")
    period_from: datetime = Field(description="Start of the period (UTC).")
    period_to: datetime = Field(description="End of the period (UTC).")
    items: tuple[DigestItem, ...] = Field(description="Entries in the order of the issue.")
    recipients: int = Field(ge=0, description="Subscribers that the issue was queued for.")
    level_note: str = Field(default="", description="What the judge's level means for the reader.")
    sent_at: datetime = Field(description="When (UTC).")
