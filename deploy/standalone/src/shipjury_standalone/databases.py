"""A database and a role for each service, migrated; what stands already is left alone."""

import asyncpg

from .embedded.postgres import Postgres
from .environment import database_password
from .folder import DataFolder
from .services import SERVICES


async def make_databases(postgres: Postgres, folder: DataFolder) -> None:
    """Roles that own one database each and may look into no other."""
    admin = await asyncpg.connect(postgres.dsn())
    try:
        there = {row["datname"] for row in await admin.fetch("SELECT datname FROM pg_database")}
        roles = {row["rolname"] for row in await admin.fetch("SELECT rolname FROM pg_roles")}
        for name in (service.package for service in SERVICES):
            if name not in roles:
                # names are ours and passwords are URL-safe base64: nothing to escape, and DDL takes no parameters
                await admin.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{database_password(folder, name)}'")
            if name not in there:
                await admin.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
                await admin.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
    finally:
        await admin.close()


async def migrate(postgres: Postgres, folder: DataFolder, packages: list[str]) -> None:
    """Bring each service's database to its newest revision, as its own role."""
    from shipjury_delivery.migrations import upgrade

    for package in packages:  # one after another: Alembic keeps its context in globals
        await upgrade(package, postgres.url(package, package, database_password(folder, package)))
