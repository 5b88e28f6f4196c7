"""A site over a real database: built once, copied for each test."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from catalog.api.public import public_app
from catalog.api.site import Site
from catalog.operator_api import operator_app
from catalog.site.render import Renderer
from shipjury_delivery.bodies import FORMS, bounded
from shipjury_delivery.migrations import upgrade
from shipjury_standalone.embedded.postgres import Postgres

from . import world
from .builders import NOON


@dataclass
class Running:
    """A site with its readers' and operators' clients, its database, and tool ids by slug."""

    readers: httpx.AsyncClient
    operators: httpx.AsyncClient
    engine: AsyncEngine
    ids: dict[str, str]

    async def text(self, path: str) -> str:
        """A page that must be there."""
        answer = await self.readers.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text


@pytest.fixture(scope="session")
def _world() -> dict[str, dict[str, str]]:
    """The database that holds the world, once it is built, and the ids of its tools."""
    return {}


@pytest_asyncio.fixture
async def engine(make_database: Callable[[str], Awaitable[str]]) -> AsyncIterator[AsyncEngine]:
    """An empty catalog."""
    engine = create_async_engine(await make_database("catalog"))
    yield engine
    await engine.dispose()


@contextlib.asynccontextmanager
async def _serving(engine: AsyncEngine, ids: dict[str, str]) -> AsyncIterator[Running]:
    site = Site(engine=engine, renderer=Renderer(minimum_votes=10), clock=lambda: NOON)
    readers = httpx.AsyncClient(
        transport=httpx.ASGITransport(bounded(public_app(site), FORMS)), base_url="http://site.test"
    )
    operators = httpx.AsyncClient(
        transport=httpx.ASGITransport(operator_app(engine, lambda: NOON)), base_url="http://operators.test"
    )
    async with readers, operators:
        yield Running(readers, operators, engine, ids)


@pytest_asyncio.fixture
async def empty(engine: AsyncEngine) -> AsyncIterator[Running]:
    """A site with nothing on record."""
    async with _serving(engine, {}) as running:
        yield running


@pytest_asyncio.fixture
async def running(embedded_postgres: Postgres, _world: dict[str, dict[str, str]]) -> AsyncIterator[Running]:
    """The starter catalog with verdicts, tallies, ratings and a digest: built once, copied for each test."""
    admin = await asyncpg.connect(embedded_postgres.dsn())
    template, copy = "catalog_world", "catalog_world_copy"
    if template not in _world:
        await admin.execute(f'CREATE DATABASE "{template}"')
        await upgrade("catalog", embedded_postgres.url(template))
        builder = create_async_engine(embedded_postgres.url(template))
        _world[template] = await world.build(builder)
        await builder.dispose()
    await admin.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    engine = create_async_engine(embedded_postgres.url(copy))
    async with _serving(engine, _world[template]) as site:
        yield site
    await engine.dispose()
    await admin.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')
    await admin.close()
