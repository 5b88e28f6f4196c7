"""The settings of votes, read from the environment with the prefix ``VOTES_``."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from shipjury_delivery import ServiceSettings

from .domain import Limits

Network = IPv4Network | IPv6Network

_LIMITS = Limits()


class Settings(ServiceSettings):
    """Settings of the votes service. Keys that are not given are drawn at the first start and kept in its database."""

    model_config = SettingsConfigDict(env_prefix="VOTES_", frozen=True, extra="ignore")

    cookie_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Keys that sign voters' cookies, separated by commas: the first signs, all are accepted. "
        "To rotate, put a new one in front and drop the last after a year.",
    )
    pseudonym_key: SecretStr | None = Field(
        default=None,
        description="Key of the voters' pseudonyms. It must never change: another one would let everybody vote again, "
        "so the service does not start with it.",
    )
    network_key: SecretStr | None = Field(
        default=None, description="Key of the hashes of networks, beside the daily salt. May change at any time."
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(),
        description="Networks (CIDR, separated by commas) of reverse proxies whose X-Forwarded-For, X-Forwarded-Proto "
        "and account header are believed.",
    )
    account_header: str | None = Field(
        default=None,
        description="Header in which a trusted proxy names the signed-in account, such as X-Forwarded-User; it then "
        "replaces the cookie.",
    )
    cookie_days: int = Field(default=400, ge=1, le=400, description="Days that a voter's cookie lasts after a vote.")
    batch_largest: int = Field(default=500, ge=1, le=5000, description="Most votes that are committed together.")
    batch_linger: timedelta = Field(
        default=timedelta(milliseconds=2), description="How long a batch waits for others before it is committed."
    )
    most_waiting: int = Field(
        default=5000, ge=1, description="Votes that may wait to be committed; past it the answer is 503."
    )
    patience: timedelta = Field(
        default=timedelta(seconds=3), description="How long a request waits for a database that is away."
    )
    admission_timeout: timedelta = Field(
        default=timedelta(milliseconds=750),
        description="How long Redis may take to count a vote, twice; then it is taken without and held as unchecked.",
    )
    pool_size: int = Field(default=5, ge=1, description="Database connections that each process keeps.")
    stream_tools: int = Field(default=50, ge=1, description="Most tools that one live stream may follow.")
    stream_clients: int = Field(default=2000, ge=1, description="Most live streams of one replica; past it 503.")
    stream_interval: timedelta = Field(
        default=timedelta(seconds=1), description="Least time between two changes of one tool on a live stream."
    )
    stream_heartbeat: timedelta = Field(
        default=timedelta(seconds=15), description="Time after which a silent live stream sends a comment."
    )
    check_interval: timedelta = Field(
        default=timedelta(seconds=20), description="How often a worker looks for bursts and unchecked votes."
    )
    limit_voter_writes: int = Field(
        default=_LIMITS.voter_writes, ge=1, description="Votes of one voter a minute; more are refused (429)."
    )
    limit_network_writes: int = Field(
        default=_LIMITS.network_writes,
        ge=1,
        description="Votes from one network (/24 or /48) a minute; more are refused (429).",
    )
    limit_speed_writes: int = Field(
        default=_LIMITS.speed_writes, ge=1, description="Votes of one voter in ten seconds; more are held."
    )
    limit_network_voters: int = Field(
        default=_LIMITS.network_voters,
        ge=1,
        description="Voters of one network on one tool within ten minutes; more are held, with those that began it.",
    )
    limit_network_voters_all: int = Field(
        default=_LIMITS.network_voters_all,
        ge=1,
        description="Voters of one network on any tools within ten minutes; more are held.",
    )
    limit_signal_voters: int = Field(
        default=_LIMITS.signal_voters,
        ge=1,
        description="Voters with one kind of client on one tool within ten minutes; more are held.",
    )

    @field_validator("cookie_keys", mode="before")
    @classmethod
    def _keys(cls, given: object) -> object:
        return tuple(key.strip() for key in given.split(",") if key.strip()) if isinstance(given, str) else given

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        return tuple(ip_network(text.strip()) for text in given.split(",") if text.strip())

    @property
    def limits(self) -> Limits:
        """The limits as the domain takes them."""
        return Limits(
            voter_writes=self.limit_voter_writes,
            network_writes=self.limit_network_writes,
            speed_writes=self.limit_speed_writes,
            network_voters=self.limit_network_voters,
            network_voters_all=self.limit_network_voters_all,
            signal_voters=self.limit_signal_voters,
        )
