"""Organisations, projects, keys and budgets: made by operators, read as a snapshot by every replica.

A key is shown once, when it is made, and stored as its SHA-256: it is 256 random bits, so that no slow hash is needed.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils import uuid7

from ..domain.budgets import Budget, Metric, Scope, Window
from ..domain.plan import Policy
from .tables import budgets, keys, organisations, projects

KEY_PREFIX = "sk-sj-"


class NoSuchProject(LookupError):
    """There is no project of that name or id."""


class NoSuchKey(LookupError):
    """There is no key of that id, or it is revoked."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the hot path knows of a key: who pays, what it may do, and the budgets that it is under."""

    key_id: str
    project_id: str
    organisation_id: str
    cost_centre: str | None
    expires_at: datetime | None
    blocked: str | None
    policy: Policy
    budgets: tuple[Budget, ...]


def digest(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


async def make_project(
    connection: AsyncConnection,
    name: str,
    *,
    organisation: str = "default",
    cost_centre: str | None = None,
    allow_unpriced: bool = False,
    private: bool = False,
    zdr: bool = False,
    regions: tuple[str, ...] = (),
    preferred: tuple[str, ...] = (),
) -> str:
    """The id of the project of this name; it and its organisation are made where they do not exist."""
    await connection.execute(
        insert(organisations).values(id=str(uuid7()), name=organisation).on_conflict_do_nothing(index_elements=["name"])
    )
    await connection.execute(
        insert(projects)
        .values(
            id=str(uuid7()),
            name=name,
            organisation_id=sa.select(organisations.c.id).where(organisations.c.name == organisation).scalar_subquery(),
            cost_centre=cost_centre,
            allow_unpriced=allow_unpriced,
            private=private,
            zdr=zdr,
            regions=list(regions),
            preferred=list(preferred),
        )
        .on_conflict_do_nothing(index_elements=["name"])
    )
    return await project_id(connection, name)


async def project_id(connection: AsyncConnection, name_or_id: str) -> str:
    """The id of a project. Raises :class:`NoSuchProject`."""
    found: str | None = await connection.scalar(
        sa.select(projects.c.id).where((projects.c.name == name_or_id) | (projects.c.id == name_or_id))
    )
    if found is None:
        raise NoSuchProject(name_or_id)
    return found


async def make_key(
    connection: AsyncConnection,
    project: str,
    name: str,
    *,
    key: str | None = None,
    models: tuple[str, ...] = (),
    providers: tuple[str, ...] = (),
    cost_centre: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, str]:
    """Make a key of a project (by name or id); returns its id and the key itself, which is not stored.

    A given ``key`` (bootstrap) that exists already is left as it is.
    """
    owner = await project_id(connection, project)
    text = key or KEY_PREFIX + secrets.token_urlsafe(32)
    await connection.execute(
        insert(keys)
        .values(
            id=str(uuid7()),
            project_id=owner,
            name=name,
            sha256=digest(text),
            hint=text[: len(KEY_PREFIX) + 4] + "…",
            models=list(models),
            providers=list(providers),
            cost_centre=cost_centre,
            expires_at=expires_at,
        )
        .on_conflict_do_nothing(index_elements=["sha256"])
    )
    key_id: str = (await connection.execute(sa.select(keys.c.id).where(keys.c.sha256 == digest(text)))).scalar_one()
    return key_id, text


async def revoke_key(connection: AsyncConnection, key_id: str, *, at: datetime) -> bool:
    """Revoke a key. Returns whether there was one to revoke."""
    result = await connection.execute(
        sa.update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=at)
    )
    return bool(result.rowcount)


async def rotate_key(connection: AsyncConnection, key_id: str, *, at: datetime, grace: timedelta) -> str:
    """Give a key a new secret; the old one works for ``grace``. Id, scope, budgets and history stay. Returns the new
    secret, which is not stored. Raises :class:`NoSuchKey`; an earlier secret that was in its grace ends at once."""
    text = KEY_PREFIX + secrets.token_urlsafe(32)
    result = await connection.execute(
        sa.update(keys)
        .where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
        .values(
            previous_sha256=keys.c.sha256 if grace else None,
            previous_until=at + grace if grace else None,
            sha256=digest(text),
            hint=text[: len(KEY_PREFIX) + 4] + "…",
        )
    )
    if not result.rowcount:
        raise NoSuchKey(key_id)
    return text


async def set_budget(
    connection: AsyncConnection, scope: Scope, scope_id: str, metric: Metric, window: Window, limit: int
) -> str:
    """Set the limit of a budget; it counts from when it was first made. Returns its id."""
    statement = insert(budgets).values(
        id=str(uuid7()), scope=scope, scope_id=scope_id, metric=metric, window=window, limit=limit
    )
    changed = statement.on_conflict_do_update(constraint="budgets_once", set_={"limit": limit})
    budget_id: str = (await connection.execute(changed.returning(budgets.c.id))).scalar_one()
    return budget_id


async def remove_budget(connection: AsyncConnection, budget_id: str) -> bool:
    """Remove a budget. Returns whether there was one."""
    return bool((await connection.execute(sa.delete(budgets).where(budgets.c.id == budget_id))).rowcount)


async def change_project(connection: AsyncConnection, project: str, **changes: Any) -> None:
    """Change fields of a project: cost_centre, allow_unpriced, private, zdr, regions, preferred, blocked."""
    owner = await project_id(connection, project)
    await connection.execute(sa.update(projects).where(projects.c.id == owner).values(**changes))


async def list_rows(connection: AsyncConnection, what: str) -> list[dict[str, Any]]:
    """Rows of `organisations`, `projects`, `keys` or `budgets`, for operators; a key's hash is left out."""
    table = {"organisations": organisations, "projects": projects, "keys": keys, "budgets": budgets}[what]
    columns = [column for column in table.c if not column.name.endswith("sha256")]
    rows = await connection.execute(sa.select(*columns).order_by(table.c.id))
    return [{str(name): value for name, value in row.items()} for row in rows.mappings()]


async def accounts(connection: AsyncConnection) -> dict[bytes, Account]:
    """Every usable key's account, by the key's SHA-256."""
    limits: dict[tuple[str, str], list[Budget]] = {}
    in_force = budgets.c.until.is_(None) | (budgets.c.until > sa.func.now())
    for row in await connection.execute(sa.select(budgets).where(in_force).order_by(budgets.c.id)):
        budget = Budget(row.id, row.scope, row.scope_id, row.metric, row.window, row.limit)
        limits.setdefault((row.scope, row.scope_id), []).append(budget)
    rows = await connection.execute(
        sa.select(
            keys.c.sha256,
            keys.c.previous_sha256,
            keys.c.previous_until,
            keys.c.id.label("key_id"),
            keys.c.models,
            keys.c.providers,
            keys.c.expires_at,
            keys.c.cost_centre.label("key_cost_centre"),
            projects.c.id.label("project_id"),
            projects.c.organisation_id,
            projects.c.cost_centre,
            projects.c.allow_unpriced,
            projects.c.private,
            projects.c.zdr,
            projects.c.regions,
            projects.c.preferred,
            projects.c.blocked,
        )
        .join(projects, projects.c.id == keys.c.project_id)
        .where(keys.c.revoked_at.is_(None))
    )
    found = rows.all()
    known = {
        bytes(row.sha256): Account(
            key_id=row.key_id,
            project_id=row.project_id,
            organisation_id=row.organisation_id,
            cost_centre=row.key_cost_centre or row.cost_centre,
            expires_at=row.expires_at,
            blocked=row.blocked,
            policy=Policy(
                models=frozenset(row.models),
                providers=frozenset(row.providers),
                allow_unpriced=row.allow_unpriced,
                private=row.private,
                zdr=row.zdr,
                regions=frozenset(row.regions),
                preferred=tuple(row.preferred),
            ),
            budgets=tuple(
                limits.get(("key", row.key_id), [])
                + limits.get(("project", row.project_id), [])
                + limits.get(("organisation", row.organisation_id), [])
            ),
        )
        for row in found
    }
    for row in found:
        if row.previous_sha256 is not None:
            account = known[bytes(row.sha256)]
            until = min(filter(None, (account.expires_at, row.previous_until)))
            known[bytes(row.previous_sha256)] = replace(account, expires_at=until)
    return known


def utc_now() -> datetime:
    """The clock of the running service."""
    return datetime.now(UTC)
