"""inference.anomalies.v1: a project spends out of its pattern."""

from datetime import datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract
from ..topic import Topic


class InferenceAnomaly(Contract):
    """Spend of a project on a model that departs from its baseline."""

    topic: ClassVar[Topic] = Topic(
        name="inference.anomalies.v1",
        key="project_id",
        retention=timedelta(days=90),
        producer="inference-gateway",
        consumers=("notifier",),
        minor=1,
    )

    anomaly_id: str = Field(description="UUID of the anomaly.")
    project_id: str = Field(description="The project.")
    model: str = Field(description="The model, or `*` for all.")
    state: Literal["opened", "closed"] = Field(description="Whether it goes on.")
    observed_nano_usd_per_minute: int = Field(description="What is spent, in billionths of a US dollar a minute.")
    expected_nano_usd_per_minute: int = Field(description="What the baseline expects.")
    throttled: bool = Field(description="Whether the project's policy slowed it down.")
    since: datetime = Field(description="When it began (UTC).")
    project: str | None = Field(default=None, description="Name of the project.")
    measure: Literal["cost", "requests"] = Field(
        default="cost", description="What departs from its baseline; `requests` also finds loops that cost nothing."
    )
    observed_requests_per_minute: float | None = Field(default=None, description="Attempts a minute since it began.")
    expected_requests_per_minute: float | None = Field(default=None, description="What the baseline expects.")
    throttled_until: datetime | None = Field(default=None, description="When the throttle ends by itself (UTC).")
