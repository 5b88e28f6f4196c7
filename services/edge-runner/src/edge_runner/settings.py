"""Settings of a node, from the environment (``EDGE_...``); a node needs no database and works without a broker."""

import ipaddress
import os
import socket
from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from shipjury_delivery.settings import SettingsFromFiles


class EdgeSettings(SettingsFromFiles):
    """What one node is told. Every value has a default that serves the embedded model on loopback."""

    model_config = SettingsConfigDict(env_prefix="EDGE_", frozen=True, extra="ignore")

    node_id: str = Field(
        default_factory=lambda: f"edge-{socket.gethostname()}", min_length=1, description="Id of this node."
    )
    model: str = Field(default="smollm2-135m-instruct", description="Model that is served when none is named.")
    engine: str = Field(
        default="auto", description="`llama.cpp`, `vllm`, or `auto`: vLLM where host and weights are made for it."
    )
    vllm: str = Field(default="vllm", description="vLLM's command: a path, or a name on the PATH.")
    public_host: str = Field(default="127.0.0.1", description="Address that the OpenAI-compatible API listens on.")
    public_port: int = Field(default=8180, ge=0, le=65535, description="Port of the API; 0 for any free one.")
    operator_host: str = Field(default="127.0.0.1", description="Address that operators' routes listen on.")
    operator_port: int = Field(default=8181, ge=0, le=65535, description="Port of operators' routes; 0 for any free.")
    operator_key: SecretStr | None = Field(default=None, description="Key for operators' routes that change something.")
    base_url: str | None = Field(
        default=None, description="Announced address of the API, ending in /v1; by default the address it listens on."
    )
    token: SecretStr | None = Field(
        default=None, description="Token that calls must carry; without one the node binds loopback only."
    )
    kafka_bootstrap_servers: str | None = Field(
        default=None, description="Kafka brokers, host:port separated by commas; without them nothing is announced."
    )
    heartbeat_seconds: float = Field(default=5.0, gt=0, description="The node tells its state this often.")
    context_tokens: int | None = Field(
        default=None, ge=128, description="Context of one request, in tokens; by default 2,048 or the model's own."
    )
    slots: int = Field(default=4, ge=1, le=64, description="Requests that are generated at once.")
    queue: int = Field(default=32, ge=0, description="Requests that may wait for a slot; more get 429.")
    queue_seconds: float = Field(default=60.0, gt=0, description="A request that waits longer than this gets 429.")
    threads: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 2) - 1),
        ge=1,
        description="Threads of the engine. By default one fewer than the host has: a full host makes it erratic.",
    )
    memory: str | None = Field(
        default=None, description="Memory that engines may use together, such as `4GiB`; by default the host's."
    )
    cache_ram_mib: int = Field(
        default=64,
        ge=0,
        description="Host memory for evicted prompts, in MiB; one that is larger is not kept. 0 turns it off.",
    )
    kv_type: str = Field(default="f16", pattern="^(f16|q8_0)$", description="Type of the KV cache: f16 or q8_0.")
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, description="Largest request body; more gets 413.")
    bodies_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="Request bodies that are held at once, together; more get 429."
    )
    drain_seconds: float = Field(default=25.0, ge=0, description="How long running requests may go on after SIGTERM.")
    load_seconds: float = Field(
        default=30.0, gt=0, description="A request waits so long for a model that is not in memory; then it gets 503."
    )
    ready_seconds: float = Field(default=300.0, gt=0, description="An engine that is not ready by then is restarted.")
    models_dir: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "shipjury" / "models", description="Where weights are stored."
    )
    state_dir: Path | None = Field(
        default=None, description="Where it keeps what was deployed on it; by default EDGE_MODELS_DIR."
    )
    model_list: Path | None = Field(
        default=None, description="A models.toml of your own; its entries come beside and over the packaged ones."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Labels for routing, as a JSON object.")
    gateway_operator_url: str | None = Field(
        default=None, description="Operators' address of the gateway, for the commands that ask about the whole fleet."
    )
    gateway_operator_key: SecretStr | None = Field(default=None, description="Operators' key of the gateway, for them.")

    @model_validator(mode="after")
    def _strangers_need_a_token(self) -> "EdgeSettings":
        if self.token is None and not is_loopback(self.public_host):
            raise ValueError(
                f"EDGE_PUBLIC_HOST is {self.public_host}, which others can reach: set EDGE_TOKEN, or bind 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _the_largest_body_finds_room(self) -> "EdgeSettings":
        if self.bodies_bytes < self.max_body_bytes:
            raise ValueError(
                f"EDGE_BODIES_BYTES is {self.bodies_bytes}, less than one body of EDGE_MAX_BODY_BYTES "
                f"({self.max_body_bytes}): raise the one or lower the other"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
