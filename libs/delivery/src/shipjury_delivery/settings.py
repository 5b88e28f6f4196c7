"""The settings that every service has; each service adds its own under its own prefix."""

import os
from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class SettingsFromFiles(BaseSettings):
    """Settings from the environment, and from files in the folder that ``SHIPJURY_SECRETS_DIR`` names.

    A file is named like its variable, such as ``votes_database_url``; that is how Compose and Kubernetes hand over
    secrets. The environment comes first.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, then the folder of secrets; no ``.env`` file."""
        folder = os.environ.get("SHIPJURY_SECRETS_DIR")
        secrets = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if folder else ()
        return (init_settings, env_settings, *secrets)


class KafkaSettings(SettingsFromFiles):
    """How to reach the brokers. A subclass sets ``env_prefix``."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    kafka_bootstrap_servers: str = Field(description="Kafka brokers, host:port separated by commas.")
    kafka_security_protocol: SecurityProtocol = Field(default="PLAINTEXT", description="How to talk to the brokers.")
    kafka_sasl_mechanism: SaslMechanism = Field(default="SCRAM-SHA-512", description="SASL mechanism, where used.")
    kafka_username: str | None = Field(default=None, description="User name at the brokers, where SASL is used.")
    kafka_password: SecretStr | None = Field(default=None, description="Password at the brokers, where SASL is used.")
    kafka_ca_file: str | None = Field(default=None, description="Certificates that the brokers' are checked against.")

    @property
    def service(self) -> str:
        """The service's name in paths, metrics and logs: its prefix in lower case, ``VOTES_`` is ``votes``."""
        return self.model_config.get("env_prefix", "").strip("_").lower() or "service"


class ServiceSettings(KafkaSettings):
    """Base of a service's settings. A subclass sets ``env_prefix``, such as ``VOTES_``."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    database_url: SecretStr = Field(description="SQLAlchemy URL of the service's own database (postgresql+asyncpg://).")
    redis_url: SecretStr | None = Field(default=None, description="Redis, where the service uses one.")
    operator_key: SecretStr = Field(description="Key that operators present on the operators' port.")
    public_host: str = Field(default="127.0.0.1", description="Address that readers' routes listen on.")
    public_port: int = Field(default=8000, description="Port that readers' routes listen on.")
    operator_host: str = Field(default="127.0.0.1", description="Address that operators' routes listen on.")
    operator_port: int = Field(default=8001, description="Port that operators' routes listen on.")
    worker_port: int | None = Field(
        default=None,
        description="Port on operator_host where a worker serves healthz, readyz and metrics; none or 0 for off.",
    )
    topic_partitions: int = Field(default=6, ge=1, description="Partitions of a topic that does not exist yet.")
    topic_replication: int = Field(default=1, ge=1, description="Replicas of a topic that does not exist yet.")
    kafka_transactions: bool = Field(
        default=False,
        description="Whether the outbox relay is fenced by a transactional id (the embedded broker has none).",
    )
    consume_batch: int = Field(default=500, ge=1, le=5000, description="Most records that a subscriber gets at once.")
    outbox_batch: int = Field(default=500, ge=1, le=5000, description="Most outbox rows that are sent at once.")
    outbox_retention: timedelta = Field(
        default=timedelta(days=7), description="How long sent outbox rows are kept, for replay."
    )
    inbox_retention: timedelta = Field(
        default=timedelta(days=30), description="How long ids of applied events are kept; duplicates later count again."
    )
    job_retention: timedelta = Field(
        default=timedelta(days=90), description="How long finished jobs are kept; until then their key is taken."
    )
    dead_letter_limit: int = Field(
        default=100,
        ge=1,
        description="Dead letters in ten minutes for unexpected errors; past it a subscriber waits instead.",
    )
