"""What the suite runs on: the embedded broker and database, or those that the environment names.

``DELIVERY_KAFKA_BOOTSTRAP`` and ``DELIVERY_DATABASE_URL`` name real ones; ``DELIVERY_BROKER_STOP`` and
``DELIVERY_BROKER_START`` are then the commands that take the broker away and bring it back. ``tests/containers/`` may
also override ``kafka``, ``broker_control``, ``database_server`` and import the same tests.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from shipjury_delivery.testing import BrokerControl, Gate, World, a_gate, a_world
from shipjury_standalone import children
from shipjury_standalone.ports import answers, free_port

_number = count(1)


@dataclass
class EmbeddedBroker:
    """Our broker, as a process that a test may end and start again."""

    folder: Path
    port: int
    child: children.Child | None = None

    def start(self) -> None:
        """Start it on its data."""
        if self.child:
            return
        self.child = children.start(
            "The broker",
            [sys.executable, "-m", "shipjury_broker", "--data", str(self.folder / "data"), "--port", str(self.port)],
            log=lambda _: None,
            environment=dict(os.environ),
        )
        self.child.wait_until(lambda: answers(self.port), seconds=20)

    def stop(self) -> None:
        """End it."""
        if self.child:
            self.child.stop()
        self.child = None


@dataclass
class NamedBroker:
    """A broker that the environment names, with commands to take it away and bring it back."""

    bootstrap: str

    def stop(self) -> None:
        """Run the command that takes it away."""
        subprocess.run(shlex.split(os.environ["DELIVERY_BROKER_STOP"]), check=True)

    def start(self) -> None:
        """Run the command that brings it back; it returns when the broker answers."""
        subprocess.run(shlex.split(os.environ["DELIVERY_BROKER_START"]), check=True)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, BrokerControl]]:
    """One broker for all tests: each has a topic of its own."""
    if named := os.environ.get("DELIVERY_KAFKA_BOOTSTRAP"):
        yield named, NamedBroker(named)
        return
    embedded = EmbeddedBroker(tmp_path_factory.mktemp("broker"), free_port())
    embedded.start()
    yield f"127.0.0.1:{embedded.port}", embedded
    embedded.stop()


@pytest.fixture
def kafka(broker: tuple[str, BrokerControl]) -> str:
    """Bootstrap servers."""
    return broker[0]


@pytest.fixture
def broker_control(broker: tuple[str, BrokerControl]) -> Iterator[BrokerControl]:
    """Takes the broker away and brings it back; it is back when the test ends."""
    yield broker[1]
    broker[1].start()


@pytest.fixture
def database_server(request: pytest.FixtureRequest) -> str:
    """URL of a database on the server where databases for tests are made."""
    named = os.environ.get("DELIVERY_DATABASE_URL")
    return named or request.getfixturevalue("embedded_postgres").url("postgres")


@pytest_asyncio.fixture
async def database_url(database_server: str) -> AsyncIterator[str]:
    """URL of an empty database, dropped after the test."""
    server = make_url(database_server)
    name = f"delivery_{os.getpid()}_{next(_number)}"
    plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
    admin = await asyncpg.connect(plain)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()


@pytest_asyncio.fixture
async def world(kafka: str, database_url: str) -> AsyncIterator[World]:
    """A Kafka, a database, a topic and a ledger."""
    async with a_world(kafka, database_url) as made:
        yield made


@pytest_asyncio.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    """A way to the database that can be shut."""
    async with a_gate(database_url) as made:
        yield made
