"""Provider credentials in the database: an organisation's own for everybody, or a project's own for its calls alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils import uuid7

from .accounts import project_id
from .tables import metadata
from .vault import Unreadable, Vault

EVERYBODY = ""
"""In place of a project: what is unique must not be null."""

credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("fields", ARRAY(sa.Text)),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("changed_at", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Credentials as they were stored; ``values`` is ``None`` where they cannot be opened."""

    provider: str
    project_id: str | None
    values: Mapping[str, SecretStr] | None


async def put(
    connection: AsyncConnection,
    vault: Vault,
    provider: str,
    project: str | None,
    values: Mapping[str, SecretStr],
    *,
    at: datetime,
) -> str:
    """Store credentials, in place of those that were there; the next call carries them. Returns their id.

    Raises :class:`NoKey`, and :class:`NoSuchProject` for a ``project`` (name or id) that there is not.
    """
    owner = None if project is None else await project_id(connection, project)
    row = {"fields": sorted(values), "sealed": vault.seal(provider, owner, values), "changed_at": at}
    statement = insert(credentials).values(id=str(uuid7()), provider=provider, project=owner or EVERYBODY, **row)
    changed = statement.on_conflict_do_update(constraint="credentials_once", set_=row)
    return str((await connection.execute(changed.returning(credentials.c.id))).scalar_one())


async def remove(connection: AsyncConnection, credential_id: str) -> bool:
    """Remove credentials. Returns whether there were any."""
    return bool((await connection.execute(sa.delete(credentials).where(credentials.c.id == credential_id))).rowcount)


async def listed(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Who has credentials for whom, and the names of their fields; never a value."""
    columns = [column for column in credentials.c if column.name != "sealed"]
    rows = await connection.execute(sa.select(*columns).order_by(credentials.c.provider, credentials.c.project))
    return [
        {str(name): value for name, value in row.items()} | {"project": row["project"] or None}
        for row in rows.mappings()
    ]


async def opened(connection: AsyncConnection, vault: Vault) -> list[Stored]:
    """All credentials, opened."""
    found = []
    for row in await connection.execute(sa.select(credentials)):
        owner = row.project or None
        try:
            values = vault.open(row.provider, owner, row.sealed)
        except Unreadable:
            values = None
        found.append(Stored(row.provider, owner, values))
    return found


async def seal_again(connection: AsyncConnection, vault: Vault) -> tuple[int, int]:
    """Encrypt everything with the vault's first key. Returns how many were, and how many could not be opened."""
    done = failed = 0
    for row in (await connection.execute(sa.select(credentials).with_for_update())).all():
        owner = row.project or None
        try:
            sealed = vault.seal(row.provider, owner, vault.open(row.provider, owner, row.sealed))
        except Unreadable:
            failed += 1
            continue
        await connection.execute(sa.update(credentials).where(credentials.c.id == row.id).values(sealed=sealed))
        done += 1
    return done, failed
