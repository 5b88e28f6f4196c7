"""edge.benchmarks.v1: a node measured a model."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from ..contract import Contract
from ..topic import Topic


class EdgeBenchmarked(Contract):
    """Speed and memory of one model on one node."""

    topic: ClassVar[Topic] = Topic(
        name="edge.benchmarks.v1",
        key="benchmark_id",
        retention="compacted",
        producer="edge-runner",
        consumers=("inference-gateway", "catalog"),
    )

    benchmark_id: str = Field(description="`node_id:model`.")
    node_id: str = Field(description="The node.")
    model: str = Field(description="The model.")
    engine: str = Field(description="Engine and build.")
    time_to_first_token_ms: float = Field(ge=0, description="Median, in milliseconds.")
    prefill_tokens_per_second: float = Field(ge=0, description="Median.")
    decode_tokens_per_second: float = Field(ge=0, description="Median, one stream.")
    resident_bytes: int = Field(ge=0, description="Resident memory of the engine.")
    joules_per_token: float | None = Field(default=None, description="Where the host reports energy.")
    measured_at: datetime = Field(description="When (UTC).")
