"""A provider file, as TOML has it: every field with what it means. What a file gets wrong is said with its name."""

import tomllib
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from ..adapters import PROTOCOLS

FIELDS = {
    "bearer": frozenset({"key"}),
    "header": frozenset({"key"}),
    "none": frozenset[str](),
    "aws": frozenset({"access_key_id", "secret_access_key", "region"}),
    "google": frozenset({"account"}),
    "entra": frozenset({"tenant_id", "client_id", "client_secret"}),
}
"""What each way of authenticating needs."""
OPTIONAL = frozenset({"session_token", "authority"})


class BadManifest(ValueError):
    """A provider file that cannot be used; the text names file and field."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatedPrice(_Strict):
    """USD per million tokens from a day on."""

    since: date
    input: str
    output: str
    cached_input: str | None = None
    source: str
    upstream: str | None = None

    @field_validator("input", "output", "cached_input")
    @classmethod
    def _decimal(cls, value: str | None) -> str | None:
        if value is not None and Fraction(value) < 0:
            raise ValueError("a price is not negative")
        return value


class ModelEntry(_Strict):
    """A model as the provider names it, and the name that all providers' copies share.

    ``features`` replaces the provider's; ``rejects``, ``takes`` and ``rename`` add to it. ``api`` is ``converse`` for a
    Bedrock model that has no chat completions.
    """

    id: str
    name: str | None = None
    api: Literal["chat", "converse"] = "chat"
    features: tuple[str, ...] | None = None
    takes: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()
    rename: dict[str, str] = Field(default_factory=dict)
    context_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    max_logprobs: int | None = None
    quantization: str | None = None
    prices: tuple[DatedPrice, ...] = ()


class Auth(_Strict):
    """A way of authenticating. ``bearer``, or ``header`` of its own: a key, from the first of the variables ``env``.
    ``aws``, ``google``, ``entra``: ``fields`` are filled from variables; those in ``files`` are paths of files."""

    scheme: Literal["bearer", "header", "aws", "google", "entra", "none"] = "bearer"
    header: str = "Authorization"
    env: tuple[str, ...] = ()
    fields: dict[str, str] = Field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def needs(self) -> frozenset[str]:
        """The fields without which nobody is let in."""
        return FIELDS[self.scheme]


class Fact(_Strict):
    """Where something in this file was read, and when."""

    what: str
    source: str
    as_of: date


def _many(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class Manifest(_Strict):
    """A provider file."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    display_name: str
    base_url: str
    base_url_env: dict[str, str] = Field(default_factory=dict)
    protocol: str = "openai"
    api_version: str | None = None
    auth: Annotated[tuple[Auth, ...], BeforeValidator(_many)] = (Auth(),)
    features: tuple[str, ...] = ("chat",)
    takes: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    rename: dict[str, str] = Field(default_factory=dict)
    json_schema: Literal["openai", "top_level"] = "openai"
    usage_in_stream: Literal["asked", "always", "never"] = "asked"
    rate_limit_headers: tuple[str, ...] = ()
    max_logprobs: int = 0
    image_tokens: int | None = None
    cancelled_stream_still_billed: bool = True
    zero_data_retention: bool = False
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")
    trains_on_data: bool | None = None
    max_concurrency: int = Field(default=64, ge=1)
    models: tuple[ModelEntry, ...] = ()
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()

    @field_validator("protocol")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PROTOCOLS:
            raise ValueError(f"one of {', '.join(sorted(PROTOCOLS))}")
        return value


def read(path: Path) -> Manifest:
    """A provider file. Raises :class:`BadManifest`."""
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise BadManifest(f"{path.name}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadManifest(f"{path.name}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
