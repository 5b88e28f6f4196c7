"""Migrations: once, in order, whoever starts first."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from shipjury_delivery import migrations

FIRST = '''
"""Delivery's tables, and one of the service's own."""
from alembic import op
from shipjury_delivery.tables import create_all, drop_all

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE runs (revision text)")
    op.execute("INSERT INTO runs VALUES ('0001')")
    create_all(op)


def downgrade() -> None:
    drop_all(op)
    op.execute("DROP TABLE runs")
'''
SECOND = """
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.execute("INSERT INTO runs VALUES ('0002')")
"""


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the layout of a service, with one revision. Returns its migrations folder."""
    (tmp_path / "src" / "sample_service").mkdir(parents=True)
    (tmp_path / "src" / "sample_service" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.py").write_text(FIRST)
    return folder


async def _fetch(database_url: str, query: str) -> list[str]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_a_new_database_gets_every_revision_in_order(sample: Path, database_url: str) -> None:
    (sample / "0002_second.py").write_text(SECOND)
    assert await migrations.upgrade("sample_service", database_url)
    assert await _fetch(database_url, "SELECT revision FROM runs") == ["0001", "0002"]
    tables = await _fetch(database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {"outbox", "inbox", "jobs"} <= set(tables)


async def test_an_upgrade_with_nothing_to_do_changes_nothing(sample: Path, database_url: str) -> None:
    await migrations.upgrade("sample_service", database_url)
    assert not await migrations.upgrade("sample_service", database_url)
    assert await _fetch(database_url, "SELECT revision FROM runs") == ["0001"]


async def test_a_later_revision_is_added_to_a_database_with_data(sample: Path, database_url: str) -> None:
    await migrations.upgrade("sample_service", database_url)
    (sample / "0002_second.py").write_text(SECOND)
    assert await migrations.upgrade("sample_service", database_url)
    assert await _fetch(database_url, "SELECT revision FROM runs") == ["0001", "0002"]


async def test_many_that_migrate_at_once_migrate_once(sample: Path, database_url: str) -> None:
    changed = await asyncio.gather(*(migrations.upgrade("sample_service", database_url) for _ in range(5)))
    assert sorted(changed) == [False, False, False, False, True]
    assert await _fetch(database_url, "SELECT revision FROM runs") == ["0001"]


async def test_a_revision_that_fails_leaves_nothing_behind(sample: Path, database_url: str) -> None:
    await migrations.upgrade("sample_service", database_url)
    (sample / "0002_second.py").write_text(SECOND.replace("INSERT", "INSERT INTO runs VALUES ('x'); NONSENSE"))
    with pytest.raises(Exception, match=r"syntax error|multiple commands"):
        await migrations.upgrade("sample_service", database_url)
    assert await _fetch(database_url, "SELECT revision FROM runs") == ["0001"]
    assert await _fetch(database_url, "SELECT version_num FROM alembic_version") == ["0001"]


async def test_migrations_ship_inside_a_wheel(sample: Path) -> None:
    inside = sample.parent / "src" / "sample_service" / "_migrations"
    inside.mkdir()
    assert migrations.migrations_folder("sample_service") == inside


def test_a_package_without_migrations_is_named(sample: Path) -> None:
    (sample / "0001_first.py").unlink()
    sample.rmdir()
    with pytest.raises(migrations.MigrationsMissing, match="sample_service"):
        migrations.migrations_folder("sample_service")
