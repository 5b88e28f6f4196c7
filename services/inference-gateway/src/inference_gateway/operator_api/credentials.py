"""Operators' routes for provider credentials: stored encrypted, never shown again."""

from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from ..store import accounts, credentials
from ..store.accesses import BadCredentials, check
from ..store.snapshot import Snapshots
from ..store.vault import NoKey, Vault
from .answers import json_answer


class NewCredentials(BaseModel):
    """Credentials to store. ``project`` (name or id) alone calls with them; without it everybody does."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    provider: str
    project: str | None = None
    values: dict[str, SecretStr] = Field(min_length=1)


def credential_routes(engine: AsyncEngine, snapshots: Snapshots, vault: Vault) -> APIRouter:
    """`/gateway/admin/credentials`."""
    routes = APIRouter(prefix="/gateway/admin/credentials")

    @routes.get("")
    async def listed() -> Response:
        async with engine.connect() as connection:
            return json_answer(await credentials.listed(connection))

    @routes.put("")
    async def put(new: NewCredentials) -> Response:
        provider = snapshots.providers.get(new.provider)
        if provider is None:
            raise HTTPException(404, f"no such provider: {new.provider}")
        try:
            check(provider.manifest, new.values)
            async with engine.begin() as connection:
                made = await credentials.put(
                    connection, vault, new.provider, new.project, new.values, at=datetime.now(UTC)
                )
        except BadCredentials as error:
            raise HTTPException(422, str(error)) from error
        except NoKey as error:
            raise HTTPException(409, str(error)) from error
        except accounts.NoSuchProject as error:
            raise HTTPException(404, f"no such project: {error}") from error
        return json_answer({"id": made})

    @routes.delete("/{credential_id}")
    async def remove(credential_id: str) -> Response:
        async with engine.begin() as connection:
            if not await credentials.remove(connection, credential_id):
                raise HTTPException(404, "no such credentials")
        return json_answer({"id": credential_id})

    return routes
