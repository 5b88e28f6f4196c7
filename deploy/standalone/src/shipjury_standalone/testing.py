"""Fixtures for every test of the repository: a real PostgreSQL, a real Redis and our broker, started once, quickly.

Loaded by the root ``conftest.py``. Nothing is started that no test asks for.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import redis as redis_client

from . import children
from .driven import Driven
from .embedded.postgres import Postgres
from .embedded.redis import Redis
from .ports import answers, free_port


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that is skipped in CI fails CI: what nobody runs says nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if reporter and skipped and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped, and CI is true: that fails.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The server, for the whole session. It forgets on power failure: ``fsync`` is off."""
    server = Postgres(tmp_path_factory.mktemp("postgres"), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _templates() -> dict[str, str]:
    """Which package's schema stands in which template database."""
    return {}


_number = count(1)


@pytest_asyncio.fixture
async def make_database(embedded_postgres: Postgres, _templates: dict[str, str]) -> AsyncIterator[MakeDatabase]:
    """``await make_database("votes")``: URL of a fresh database, migrated to head; dropped after the test.

    Migrations run once a session; each database is a copy of that template. An unknown package, such as
    ``"empty"``, is not silently empty: use :func:`embedded_postgres` for a database without tables.
    """
    made: list[str] = []
    admin = await asyncpg.connect(embedded_postgres.dsn())

    async def make(package: str) -> str:
        if package not in _templates:
            template = f"template_{package}"
            await admin.execute(f'DROP DATABASE IF EXISTS "{template}" WITH (FORCE)')
            await admin.execute(f'CREATE DATABASE "{template}"')
            from shipjury_delivery.migrations import upgrade

            await upgrade(package, embedded_postgres.url(template))
            _templates[package] = template
        name = f"{package}_{next(_number)}"
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_templates[package]}" STRATEGY FILE_COPY')
        made.append(name)
        return embedded_postgres.url(name)

    try:
        yield make
    finally:
        for name in made:
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(_redis_server: Redis) -> str:
    """Address of a Redis with nothing in it."""
    with contextlib.closing(redis_client.Redis.from_url(_redis_server.url)) as client:
        client.flushall()
    return _redis_server.url


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[str]:
    """Bootstrap servers of a fresh broker with a data folder of its own, as a process of its own."""
    port = free_port()
    broker = children.start(
        "The broker",
        [sys.executable, "-m", "shipjury_broker", "--data", str(tmp_path / "kafka"), "--port", str(port)],
        log=children.into_file(tmp_path / "kafka.log"),
        environment=dict(os.environ),
    )
    try:
        broker.wait_until(lambda: answers(port), seconds=20)
        yield f"127.0.0.1:{port}"
    finally:
        broker.stop()


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[Callable[..., Driven]]:
    """``standalone(data, "--no-edge")``: a whole Shipjury in a process of its own, not started yet."""
    driven: list[Driven] = []

    def make(data: Path = tmp_path / "data", *options: str, **environment: str) -> Driven:
        driven.append(Driven(data, *options, environment=environment))
        return driven[-1]

    yield make
    for one in driven:
        one.abandon()


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """``await until(check, seconds=10)``: a bounded poll of an awaitable or plain condition, instead of a sleep."""
    return wait_until


async def wait_until(check: Callable[[], object], seconds: float = 10.0) -> None:
    """Poll ``check`` (which may be a coroutine function) until it is true. Raises ``TimeoutError``."""
    async with asyncio.timeout(seconds):
        while True:
            result = check()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)
