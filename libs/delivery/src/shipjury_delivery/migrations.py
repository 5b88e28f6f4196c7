"""Migrations: brings a service's database to the newest revision, once, however many start at the same moment."""

import ast
import asyncio
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

_LOCK = 0x5348_4A55_0001  # any constant; advisory locks belong to the database, and each service has its own


class MigrationsMissing(Exception):
    """The package has no migrations folder, or it holds no revision."""


def migrations_folder(package: str) -> Path:
    """Where a service's revisions lie: beside ``src/`` in a checkout, in ``_migrations`` in a wheel."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MigrationsMissing(f"{package} is not installed")
    home = Path(next(iter(spec.submodule_search_locations)))
    for folder in (home / "_migrations", home.parent.parent / "migrations"):
        if folder.is_dir():
            return folder
    raise MigrationsMissing(f"{package} has no migrations folder")


async def upgrade(package: str, database_url: str) -> bool:
    """Bring the database to the newest revision. Returns whether anything was to do.

    A database that is up to date costs one connection and one query: the heads are read from the files' text,
    Alembic is not even imported. Concurrent callers wait for each other (advisory lock).
    """
    folder = migrations_folder(package)
    heads = await asyncio.to_thread(_heads, folder)
    if not heads:
        raise MigrationsMissing(f"{folder} holds no revision")
    engine = create_async_engine(database_url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            if await _current(connection) == heads:
                return False
            await connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
            await connection.commit()  # the lock stays; a transaction's view of the catalog may be from before it
            if await _current(connection) == heads:
                return False
            await connection.commit()
            await connection.run_sync(_run, folder)
            return True
    finally:
        await engine.dispose()


def _run(connection: sa.Connection, folder: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("alembic")).replace("%", "%%"))
    config.set_main_option("version_locations", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


async def _current(connection: AsyncConnection) -> set[str]:
    """Revisions that the database has; none where it is new."""
    known = await connection.scalar(sa.text("SELECT to_regclass('alembic_version') IS NOT NULL"))
    rows = await connection.scalars(sa.text("SELECT version_num FROM alembic_version")) if known else ()
    return set(rows)


def _heads(folder: Path) -> set[str]:
    """The revisions that no other revision builds on."""
    revisions: set[str] = set()
    parents: set[str] = set()
    for file in folder.glob("*.py"):
        names = _assigned(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
        if revision := names.get("revision"):
            revisions |= revision
            parents |= names.get("down_revision", set())
    return revisions - parents


def _assigned(module: ast.Module) -> dict[str, set[str]]:
    """The texts that the module assigns to its names at its top level."""
    found: dict[str, set[str]] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        texts = {node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and node.value is not None}
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = {text for text in texts if isinstance(text, str)}
    return found
