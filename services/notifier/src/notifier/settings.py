"""Settings of the notifier, from the environment with the prefix ``NOTIFIER_``."""

from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AnyHttpUrl, EmailStr, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from shipjury_delivery import ServiceSettings


class Settings(ServiceSettings):
    """What the notifier can be told. Frozen."""

    model_config = SettingsConfigDict(env_prefix="NOTIFIER_", frozen=True, extra="ignore")

    public_base_url: AnyHttpUrl = Field(description="Address of the readers' origin; links in mails begin with it.")
    sender: EmailStr = Field(default="digest@shipjury.example", description="Address in the From field.")
    sender_name: str = Field(default="Shipjury", description="Name in the From field.")
    list_id: str = Field(default="weekly.shipjury.example", description="List-Id of the digest (RFC 2919).")
    token_key: SecretStr = Field(description="Key of the links in mails, at least 32 characters. Keep it: links live.")
    digest_schedule: str = Field(default="0 8 * * 1", description="Cron expression of the digest.")
    digest_time_zone: str = Field(default="UTC", description="IANA time zone of the schedule.")
    mail_folder: Path | None = Field(default=None, description="Folder for .eml files instead of SMTP.")
    smtp_host: str | None = Field(default=None, description="SMTP server.")
    smtp_port: int = Field(default=587, description="Port of the SMTP server.")
    smtp_username: str | None = Field(default=None, description="User at the SMTP server.")
    smtp_password: SecretStr | None = Field(default=None, description="Password at the SMTP server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is protected; `none` only inside a private network."
    )
    smtp_timeout_seconds: float = Field(default=20, gt=0, description="Deadline of each SMTP command.")
    per_domain_per_minute: int = Field(default=60, ge=1, description="Mails a minute to one recipient domain.")
    lease_seconds: int = Field(default=60, ge=5, description="How long a claimed delivery is held.")
    uncertain_policy: Literal["retry", "leave"] = Field(
        default="retry",
        description="What happens to a mail whose hand-over was not seen to end: sent once more with the same "
        "Message-ID, or left. It is counted as uncertain either way.",
    )
    max_pending_confirmations: int = Field(
        default=10_000, ge=1, description="Unconfirmed subscribers at once; more are refused until some confirm."
    )

    @field_validator("token_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < 32:
            raise ValueError("at least 32 characters are needed")
        return key

    @field_validator("digest_time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{name!r} is no IANA time zone") from error
        return name

    @model_validator(mode="after")
    def _one_way_out(self) -> "Settings":
        if (self.mail_folder is None) == (self.smtp_host is None):
            raise ValueError("set either mail_folder or smtp_host")
        try:
            from datetime import UTC, datetime

            CronSim(self.digest_schedule, datetime.now(UTC))
        except CronSimError as error:
            raise ValueError(f"digest_schedule: {error}") from error
        return self

    def link(self, path: str) -> str:
        """An absolute address on the readers' origin."""
        return str(self.public_base_url).rstrip("/") + path
