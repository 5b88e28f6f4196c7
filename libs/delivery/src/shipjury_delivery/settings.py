"""The settings that every service has; each service adds its own under its own prefix."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Base of a service's settings. A subclass sets ``env_prefix``, such as ``VOTES_``."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    database_url: SecretStr = Field(description="SQLAlchemy URL of the service's own database (postgresql+asyncpg://).")
    kafka_bootstrap_servers: str = Field(description="Kafka brokers, host:port separated by commas.")
    redis_url: SecretStr | None = Field(default=None, description="Redis, where the service uses one.")
    operator_key: SecretStr = Field(description="Key that operators present on the operators' port.")
    public_host: str = Field(default="127.0.0.1", description="Address that readers' routes listen on.")
    public_port: int = Field(default=8000, description="Port that readers' routes listen on.")
    operator_host: str = Field(default="127.0.0.1", description="Address that operators' routes listen on.")
    operator_port: int = Field(default=8001, description="Port that operators' routes listen on.")
    topic_partitions: int = Field(default=6, ge=1, description="Partitions of a topic that does not exist yet.")
    topic_replication: int = Field(default=1, ge=1, description="Replicas of a topic that does not exist yet.")
