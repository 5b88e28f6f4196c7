"""The settings of the panel, read from the environment with the prefix ``PANEL_``."""

from datetime import timedelta

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shipjury_delivery import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the panel service."""

    model_config = SettingsConfigDict(env_prefix="PANEL_", frozen=True, extra="ignore")

    gateway_url: str = Field(
        default="http://127.0.0.1:8000/v1", description="The gateway's OpenAI-compatible API; ends in /v1."
    )
    gateway_key: SecretStr = Field(
        default=SecretStr(""), description="Key of the gateway's project that pays for the panel's calls."
    )
    model: str = Field(
        default="smollm2-135m-instruct",
        description="Model that judges, as the gateway names it; `name:edge` pins a route.",
    )
    model_vendor: str = Field(
        default="",
        description="Who makes the model's weights, where the panel's table of vendors does not know it; a review of "
        "that vendor's tool discloses it.",
    )
    weights: str | None = Field(
        default=None, description="SHA-256 of the weights, where the gateway does not tell it. Part of the exam's key."
    )
    engine: str | None = Field(
        default=None, description="Engine and build, where the gateway does not tell it. Part of the exam's key."
    )
    call_deadline: timedelta = Field(
        default=timedelta(seconds=30), description="How long one reading may take before it is asked for again."
    )
    call_attempts: int = Field(default=4, ge=1, description="Times that one reading is asked for before the job waits.")
    call_concurrency: int = Field(default=4, ge=1, description="Readings of one job that are under way at once.")
    judge_concurrency: int = Field(default=1, ge=1, description="Tools that one worker judges at once.")
    exam_again: bool = Field(
        default=True, description="Sit the exam here too, in the background, where only the shipped record is known."
    )
    exam_patience: timedelta = Field(
        default=timedelta(minutes=30), description="How long a judging job waits for a judge's first exam."
    )
    watch_interval: timedelta = Field(
        default=timedelta(seconds=20), description="How often a worker looks whether model, weights or engine changed."
    )
