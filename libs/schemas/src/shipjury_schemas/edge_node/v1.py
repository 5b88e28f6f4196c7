"""edge.nodes.v1: what an edge node has and holds; its heartbeat too."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic


class LoadedModel(Part):
    """A model that a node holds."""

    model: str = Field(description="Id of the model, such as `smollm2-135m-instruct`.")
    state: Literal["loading", "ready", "failed", "unloaded"] = Field(
        description="`ready` after a real generation has come back."
    )
    context_tokens: int = Field(ge=0, description="Context that is served, in tokens.")
    slots: int = Field(ge=0, description="Requests that are served at once.")
    weights_sha256: str | None = Field(default=None, description="Hash (hex) of the weights.")
    quantization: str | None = Field(default=None, description="Such as `Q4_K_M`.")
    licence: str | None = Field(default=None, description="Licence of the weights.")
    max_logprobs: int = Field(default=0, ge=0, description="Most log-probabilities a token that can be asked for.")
    capabilities: tuple[str, ...] = Field(
        default=(), description="Of `chat`, `completions`, `embeddings`, `tools`, `json_schema`, `logprobs`."
    )
    tokens_per_second: float | None = Field(default=None, description="Decode speed as measured, one stream.")
    reason: str | None = Field(default=None, description="Why it failed.")
    reason_code: str | None = Field(
        default=None,
        description="The same for programs: `unknown_model`, `licence_not_accepted`, `source_missing`, `wrong_hash`, "
        "`does_not_fit`, `out_of_memory`, `bad_weights`, `not_ready`, `crash`.",
    )
    progress: str | None = Field(default=None, description="What loading is at: `pulling 512 of 2,040 MiB`, say.")
    estimated_bytes: int = Field(default=0, ge=0, description="Memory that it takes with full slots, by `fit`.")
    resident_bytes: int = Field(default=0, ge=0, description="Resident memory of its engine now; 0 where unloaded.")
    running: int = Field(default=0, ge=0, description="Requests that it serves now.")
    waiting: int = Field(default=0, ge=0, description="Requests that wait for a slot.")


class EdgeNode(Contract):
    """A node's state. `aggregate_version` grows with every beat, over restarts too."""

    topic: ClassVar[Topic] = Topic(
        name="edge.nodes.v1",
        key="node_id",
        retention="compacted",
        producer="edge-runner",
        consumers=("inference-gateway",),
        minor=1,
    )

    node_id: str = Field(description="Id of the node.")
    state: Literal["starting", "ready", "draining", "stopped"] = Field(description="Whether it takes requests.")
    base_url: str = Field(
        description="Address of its OpenAI-compatible API. The gateway calls it only inside the networks that its "
        "own settings allow."
    )
    engine: str = Field(description="Engine and build, such as `llama.cpp b9999`.")
    memory_bytes: int = Field(ge=0, description="Memory that the node may use.")
    memory_used_bytes: int = Field(default=0, ge=0, description="Memory that it uses.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels for routing.")
    models: tuple[LoadedModel, ...] = Field(description="What it holds.")
    generation: int = Field(default=0, ge=0, description="Generation of the deployment that it has carried out.")
    cordoned: bool = Field(default=False, description="Whether an operator keeps new requests away from it.")
    heartbeat_seconds: float = Field(gt=0, description="It beats this often; three missed beats mean it is gone.")
    beat_at: datetime = Field(description="When (UTC).")
