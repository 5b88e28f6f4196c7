"""What the fault suite runs on: a broker and a database of its own for each test.

``tests/containers/`` overrides ``kafka``, ``database_url`` and ``broker_control`` and runs the same tests on real
Kafka and Postgres.
"""

from collections.abc import AsyncIterator
from itertools import count

import asyncpg
import pytest_asyncio

from shipjury_standalone.embedded.postgres import Postgres

_number = count(1)


@pytest_asyncio.fixture
async def database_url(embedded_postgres: Postgres) -> AsyncIterator[str]:
    """URL of an empty database, dropped after the test."""
    name = f"delivery_{next(_number)}"
    admin = await asyncpg.connect(embedded_postgres.dsn())
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield embedded_postgres.url(name)
    finally:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()
