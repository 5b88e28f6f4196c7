"""Provider files become deployments: one file a provider, and nothing else to add one.

Prices are written as strings, so that they are exact decimals. A provider whose credentials are nowhere to be found is
listed and not routable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..adapters import converse
from ..domain.catalogue import COMMON_PARAMETERS, Deployment
from ..domain.money import Price, price_on
from .accesses import Accesses, Connection
from .manifest_files import BadManifest, DatedPrice, Manifest, ModelEntry, read
from .secrets import Secrets

__all__ = ["BadManifest", "Provider", "as_json", "load", "shipped"]


@dataclass(frozen=True)
class Provider:
    """A provider as it can be called: how, and what it has."""

    manifest: Manifest
    connection: Connection
    deployments: tuple[Deployment, ...]

    @property
    def id(self) -> str:
        """Its id."""
        return self.manifest.id

    @property
    def display_name(self) -> str:
        """Its name for people."""
        return self.manifest.display_name

    def through(self, connection: Connection, owner: str | None = None) -> "Provider":
        """The same provider by another connection, which is a project's own if ``owner`` names one."""
        deployments = tuple(
            replace(one, base_url=connection.base_url, refuse=connection.refuse, owner=owner)
            for one in self.deployments
        )
        return Provider(self.manifest, connection, deployments)


def load(
    folders: Iterable[Path],
    environment: Mapping[str, str],
    *,
    urls: Mapping[str, str] | None = None,
    credentials: Path | None = None,
) -> dict[str, Provider]:
    """All providers of these folders; a later folder's file replaces an earlier one's provider.

    ``urls`` replaces base addresses by provider, ``credentials`` is a folder of mounted secrets. Raises
    :class:`BadManifest`.
    """
    secrets, accesses = Secrets(environment, credentials), Accesses()
    found: dict[str, Provider] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            manifest = read(path)
            if urls and manifest.id in urls:
                manifest = manifest.model_copy(update={"base_url": urls[manifest.id], "base_url_env": {}})
            connection = accesses.from_secrets(manifest, secrets)
            deployments = tuple(_deployment(manifest, model) for model in manifest.models)
            found[manifest.id] = Provider(manifest, connection, deployments).through(connection)
    return found


def shipped() -> Path:
    """The folder of provider files that come with the gateway."""
    return Path(str(files("inference_gateway") / "providers"))


def _deployment(manifest: Manifest, model: ModelEntry) -> Deployment:
    known = converse.PARAMETERS if model.api == "converse" else COMMON_PARAMETERS
    asks = manifest.usage_in_stream if model.api == "chat" else "always"
    return Deployment(
        provider=manifest.id,
        model=model.id,
        name=model.name or model.id,
        kind="cloud",
        base_url=manifest.base_url,
        features=frozenset(manifest.features if model.features is None else model.features),
        takes=known | frozenset(manifest.takes if model.api == "chat" else ()) | frozenset(model.takes),
        rejects=frozenset(manifest.rejects) | frozenset(model.rejects),
        values={name: frozenset(allowed) for name, allowed in manifest.values.items()},
        rename=manifest.rename | model.rename if model.api == "chat" else {},
        schema=manifest.json_schema,
        protocol=manifest.protocol,
        api=model.api,
        api_version=manifest.api_version,
        max_logprobs=manifest.max_logprobs if model.max_logprobs is None else model.max_logprobs,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        image_tokens=manifest.image_tokens,
        quantization=model.quantization,
        prices=tuple(_price(manifest.id, price) for price in model.prices),
        zdr=manifest.zero_data_retention,
        region=manifest.region,
        trains_on_data=manifest.trains_on_data,
        max_concurrency=manifest.max_concurrency,
        usage_in_stream=asks,
        drain_when_gone=manifest.cancelled_stream_still_billed,
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
    price = price_on(deployment.prices, today)
    return {
        "provider": deployment.provider,
        "model": deployment.model,
        "kind": deployment.kind,
        "context_length": deployment.context_tokens,
        "max_output_tokens": deployment.max_output_tokens,
        "features": sorted(deployment.features),
        "parameters": None if deployment.takes is None else sorted(deployment.takes - deployment.rejects),
        "rejects": sorted(deployment.rejects),
        "max_logprobs": deployment.max_logprobs,
        "quantization": deployment.quantization,
        "pricing": None
        if price is None
        else {
            "input": str(float(price.input)),
            "output": str(float(price.output)),
            "cached_input": str(float(price.cached)),
            "unit": "USD per million tokens",
            "version": price.version,
        },
    }
