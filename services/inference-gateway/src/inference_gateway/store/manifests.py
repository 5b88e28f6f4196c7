"""Provider files: one TOML a provider becomes deployments. What a file gets wrong is said with its name and field.

Prices are written as strings, so that they are exact decimals. A provider whose credentials are not in the
environment is listed and not routable.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from ..domain.catalogue import Deployment
from ..domain.money import Price


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
    """A model as the provider names it, and the name that all providers' copies share."""

    id: str
    name: str | None = None
    features: tuple[str, ...] | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    max_logprobs: int | None = None
    quantization: str | None = None
    prices: tuple[DatedPrice, ...] = ()


class Auth(_Strict):
    """How the key is sent: ``bearer``, or in a header of its own. ``env`` are tried in order."""

    scheme: Literal["bearer", "header", "none"] = "bearer"
    header: str = "Authorization"
    env: tuple[str, ...] = ()


class Fact(_Strict):
    """Where something in this file was read, and when."""

    what: str
    source: str
    as_of: date


class Manifest(_Strict):
    """A provider file."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    display_name: str
    base_url: str
    base_url_env: dict[str, str] = Field(default_factory=dict)
    auth: Auth = Auth()
    features: tuple[str, ...] = ("chat",)
    rejects: tuple[str, ...] = ()
    max_logprobs: int = 0
    image_tokens: int | None = None
    streaming_usage: bool = True
    cancelled_stream_still_billed: bool = True
    zero_data_retention: bool = False
    trains_on_data: bool | None = None
    max_concurrency: int = Field(default=64, ge=1)
    models: tuple[ModelEntry, ...] = ()
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """A provider as it can be called: where, with which headers (which hold the secret), and what it has."""

    id: str
    display_name: str
    headers: Mapping[str, SecretStr]
    deployments: tuple[Deployment, ...]


def load(folders: Iterable[Path], environment: Mapping[str, str]) -> dict[str, Provider]:
    """All providers of these folders; a later folder's file replaces an earlier one's provider. Raises
    :class:`BadManifest`."""
    found: dict[str, Provider] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            provider = _provider(_read(path), environment)
            found[provider.id] = provider
    return found


def shipped() -> Path:
    """The folder of provider files that come with the gateway."""
    return Path(str(files("inference_gateway") / "providers"))


def _read(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise BadManifest(f"{path.name}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadManifest(f"{path.name}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def _provider(manifest: Manifest, environment: Mapping[str, str]) -> Provider:
    secret = next((environment[name] for name in manifest.auth.env if environment.get(name)), None)
    missing = [name for name in manifest.base_url_env.values() if not environment.get(name)]
    refuse = None
    if secret is None and manifest.auth.scheme != "none":
        refuse = "no_credentials"
    elif missing:
        refuse = "not_configured"
    base_url = manifest.base_url
    for placeholder, name in manifest.base_url_env.items():
        base_url = base_url.replace("{" + placeholder + "}", environment.get(name) or "{" + placeholder + "}")
    headers: dict[str, SecretStr] = {}
    if secret is not None:
        prefix = "Bearer " if manifest.auth.scheme == "bearer" else ""
        headers[manifest.auth.header] = SecretStr(prefix + secret)
    return Provider(
        id=manifest.id,
        display_name=manifest.display_name,
        headers=headers,
        deployments=tuple(_deployment(manifest, model, base_url.rstrip("/"), refuse) for model in manifest.models),
    )


def _deployment(manifest: Manifest, model: ModelEntry, base_url: str, refuse: str | None) -> Deployment:
    return Deployment(
        provider=manifest.id,
        model=model.id,
        name=model.name or model.id,
        kind="cloud",
        base_url=base_url,
        features=frozenset(manifest.features if model.features is None else model.features),
        rejects=frozenset(manifest.rejects),
        max_logprobs=manifest.max_logprobs if model.max_logprobs is None else model.max_logprobs,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        image_tokens=manifest.image_tokens,
        quantization=model.quantization,
        prices=tuple(_price(manifest.id, price) for price in model.prices),
        zdr=manifest.zero_data_retention,
        trains_on_data=manifest.trains_on_data,
        max_concurrency=manifest.max_concurrency,
        streaming_usage=manifest.streaming_usage,
        drain_when_gone=manifest.cancelled_stream_still_billed,
        refuse=refuse,
    )


def _price(provider: str, price: DatedPrice) -> Price:
    return Price(
        input=Fraction(price.input),
        output=Fraction(price.output),
        cached_input=None if price.cached_input is None else Fraction(price.cached_input),
        version=f"{provider}/{price.since.isoformat()}",
        since=price.since,
    )


def as_json(deployment: Deployment, today: date) -> dict[str, Any]:
    """A deployment as operators and clients see it; nothing secret is in it."""
    from ..domain.money import price_on

    price = price_on(deployment.prices, today)
    return {
        "provider": deployment.provider,
        "model": deployment.model,
        "kind": deployment.kind,
        "context_length": deployment.context_tokens,
        "max_output_tokens": deployment.max_output_tokens,
        "features": sorted(deployment.features),
        "rejects": sorted(deployment.rejects),
        "max_logprobs": deployment.max_logprobs,
        "quantization": deployment.quantization,
        "pricing": None
        if price is None
        else {
            "input": str(float(price.input)),
            "output": str(float(price.output)),
            "unit": "USD per million tokens",
            "version": price.version,
        },
    }
