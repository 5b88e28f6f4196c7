"""A gateway in front of every provider that it ships with, each played by the simulator under its real paths."""

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from inference_gateway.store import edge, manifests

from .test_edge import node

KEYS = {
    "AZURE_API_KEY": "azure-secret",
    "AWS_BEARER_TOKEN_BEDROCK": "bedrock-secret",
    "AWS_REGION": "us-east-1",
    "ZHIPU_API_KEY": "zai-secret",
    "HF_TOKEN": "huggingface-secret",
}
"""Variables whose value is not their provider's name with `-secret` behind it."""
NODE = "jury-edge-1"


@cache
def shipped() -> dict[str, manifests.Provider]:
    """The shipped files, read once."""
    return manifests.load([manifests.shipped()], {})


def urls(simulator: str) -> dict[str, str]:
    """The address of every shipped provider at the simulator: its own path, under its name."""
    places = {"location": "us-central1", "project": "sim-project", "region": "us-east-1", "resource": "jury"}
    found = {}
    for provider in shipped().values():
        path = provider.manifest.base_url.removeprefix("https://").partition("/")[2]
        for name, value in places.items():
            path = path.replace("{" + name + "}", value)
        found[provider.id] = f"{simulator}/{provider.id}/{path}"
    return found


def set_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every provider's key in the environment."""
    for provider in shipped().values():
        for auth in provider.manifest.auth:
            for name in auth.env:
                monkeypatch.setenv(name, f"{provider.id}-secret")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


async def start_everywhere(
    start: Callable[..., Awaitable[Any]],
    simulator: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    **settings: Any,
) -> Any:
    """A gateway with all shipped providers routable, and an edge node."""
    set_keys(monkeypatch)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(await service_account(simulator, tmp_path)))
    gateway = await start(
        shipped_providers=True, provider_urls=urls(simulator), edge_token=SecretStr("alpha-secret"), **settings
    )
    await gateway.change(edge.fold, node(f"{simulator}/alpha", node_id=NODE))
    return gateway


async def service_account(simulator: str, folder: Path) -> Path:
    """The key file of Google's service account, as a person would have downloaded it."""
    path = folder / "service-account.json"
    async with aiohttp.ClientSession() as session, session.get(f"{simulator}/_sim/service-account") as response:
        path.write_bytes(await response.read())
    return path


def routable(gateway: Any) -> list[Any]:
    """Every deployment that can be called, once."""
    by_model = gateway._snapshots().current.catalogue.by_model
    found = {one.id: one for deployments in by_model.values() for one in deployments if one.refuse is None}
    return list(found.values())
