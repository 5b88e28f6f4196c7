"""The gateway's settings, from the environment with the prefix GATEWAY_."""

from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from shipjury_delivery import ServiceSettings

Network = IPv4Network | IPv6Network


class Settings(ServiceSettings):
    """Everything that an operator can set."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    redis_url: SecretStr = Field(description="Redis that budgets are reserved in (redis://, rediss:// or unix://).")
    providers_dir: Path | None = Field(
        default=None, description="Folder with provider files (*.toml) beside those that the gateway ships."
    )
    provider_urls: dict[str, str] = Field(
        default_factory=dict,
        description="Base addresses that replace those of provider files, as a JSON object by provider: private "
        "endpoints, a proxy of your own.",
    )
    credentials_dir: Path | None = Field(
        default=None, description="Folder of mounted secrets: a file `GROQ_API_KEY` holds what the variable would."
    )
    credentials_keys: SecretStr | None = Field(
        default=None,
        description="Keys that stored provider credentials are encrypted with, comma-separated: the first encrypts, "
        "all decrypt. `shipjury gateway credentials new-key` makes one.",
    )
    shipped_providers: bool = Field(default=True, description="Whether the shipped provider files are used.")
    bootstrap_project: str = Field(default="panel", description="Project that the bootstrap key belongs to.")
    bootstrap_key: SecretStr | None = Field(
        default=None, description="Key that is made sure to exist at start, so that a first client can call."
    )
    edge_token: SecretStr | None = Field(default=None, description="Token that is sent to edge nodes.")
    edge_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(ip_network("127.0.0.0/8"),),
        description="Networks (CIDR, comma-separated) that edge nodes may have; nothing else is ever called as a node.",
    )
    edge_input_price: str = Field(default="0", description="Price of an edge node's input, USD per million tokens.")
    edge_output_price: str = Field(default="0", description="Price of an edge node's output, USD per million tokens.")
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024, description="Largest request body; more gets 413.")
    bodies_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1024,
        description="Request bodies that one process holds at once, together; more get 429.",
    )
    max_requests: int = Field(default=1024, ge=1, description="Requests at once in one process; more get a 429.")
    connect_seconds: float = Field(default=5.0, gt=0, description="Deadline to connect to a provider.")
    first_token_seconds: float = Field(
        default=60.0, gt=0, description="Deadline for the first event of a stream; after it the next provider is tried."
    )
    answer_seconds: float = Field(
        default=300.0, gt=0, description="Deadline of one provider's answer that is not streamed."
    )
    idle_seconds: float = Field(default=60.0, gt=0, description="Longest silence within a stream.")
    request_seconds: float = Field(default=600.0, gt=0, description="Deadline of a request over all its attempts.")
    max_attempts: int = Field(
        default=4, ge=1, description="Attempts for one request, over all providers, retries and hedges."
    )
    retries: int = Field(
        default=2, ge=0, description="How often providers are tried again after all have failed at no cost."
    )
    retry_wait_seconds: float = Field(
        default=2.0, ge=0, description="Longest wait before a retry; a longer Retry-After goes to the client."
    )
    hedge_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of streams that may have a second provider beside a first one that is slower than its "
        "95th percentile; 0 hedges nothing. The slower answer is paid for as well.",
    )
    drain_seconds: float = Field(
        default=60.0, gt=0, description="How long a stream is read on for its usage after its client has left."
    )
    admission_seconds: float = Field(default=2.0, gt=0, description="Deadline of a reservation in Redis.")
    journal_dir: Path | None = Field(
        default=None,
        description="Folder on a local disk for the journal of attempts, which what restarts there hands over; without "
        "one, a Redis that is lost together with a gateway takes the gateway's open attempts with it.",
    )
    heartbeat_seconds: float = Field(default=2.0, gt=0, description="How often an instance shows that it lives.")
    instance_dead_seconds: float = Field(
        default=15.0, gt=0, description="Silence after which an instance's open reservations become uncertain."
    )
    watch_seconds: float = Field(default=2.0, gt=0, description="How often the worker looks for anomalies of spend.")
    anomaly_floor_usd: Decimal = Field(
        default=Decimal("0.05"),
        gt=0,
        description="Spend a minute (USD) that matters: below about twice it, nothing is an anomaly of spend.",
    )
    anomaly_floor_requests: float = Field(
        default=30.0,
        gt=0,
        description="Requests a minute that matter, or repeated ones: below about 1.7 times it, nothing is an anomaly "
        "of requests.",
    )

    @field_validator("edge_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(ip_network(part.strip()) for part in value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _the_largest_body_finds_room(self) -> "Settings":
        if self.bodies_bytes < self.max_body_bytes:
            raise ValueError(
                f"GATEWAY_BODIES_BYTES is {self.bodies_bytes}, less than one body of GATEWAY_MAX_BODY_BYTES "
                f"({self.max_body_bytes}): raise the one or lower the other"
            )
        return self
