"""What every test of the notifier needs: a database, settings, a clock that stands still until it is moved."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from notifier.api import public_app
from notifier.mailer import make_mailer
from notifier.sending import Sender
from notifier.settings import Settings
from shipjury_delivery.bodies import FORMS, bounded
from shipjury_delivery.database import create_engine
from shipjury_schemas.testing import event


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **units: float) -> None:
        self.now += timedelta(**units)


MakeSettings = Callable[..., Settings]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def make_settings(make_database: Any) -> MakeSettings:
    """Settings on a fresh database; one way out for mails must be given."""
    database_url = await make_database("notifier")

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "database_url": database_url,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "operator_key": "o" * 32,
            "public_base_url": "http://127.0.0.1:8000",
            "token_key": "k" * 32,
        }
        return Settings(**(values | changes))

    return make


@pytest.fixture
def settings(make_settings: MakeSettings, tmp_path: Path) -> Settings:
    return make_settings(mail_folder=tmp_path / "mail")


@pytest_asyncio.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings)
    yield engine
    await engine.dispose()


@pytest.fixture
def mails(settings: Settings) -> Callable[[], list[EmailMessage]]:
    """What lies in the mail folder, in the order in which it came."""

    def read() -> list[EmailMessage]:
        assert settings.mail_folder is not None
        paths = sorted(settings.mail_folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
        return [message_from_bytes(path.read_bytes(), policy=default) for path in paths]  # type: ignore[misc]

    return read


@pytest.fixture
def sender(engine: AsyncEngine, settings: Settings, clock: Clock) -> Sender:
    return Sender(engine, settings, make_mailer(settings), clock, asyncio.Event())


@pytest_asyncio.fixture
async def browser(engine: AsyncEngine, settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """A client at the readers' origin."""
    transport = httpx.ASGITransport(bounded(public_app(engine, settings, clock), FORMS))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def add_subscriber(engine: AsyncEngine) -> Callable[..., Awaitable[None]]:
    """Put a confirmed subscriber into the database."""

    async def add(email: str, **fields: Any) -> None:
        values = {"email": email, "categories": [], "tools": [], "frequency": "weekly", "zone": "UTC"} | fields
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO subscribers (id, email, state, categories, tools, frequency, time_zone,"
                    " consent_text, consented_at, confirmed_at) VALUES (gen_random_uuid(), :email, 'confirmed',"
                    " :categories, :tools, :frequency, :zone, 'yes', now(), now())"
                ),
                values,
            )

    return add


@pytest.fixture
def fold(engine: AsyncEngine) -> Callable[..., Awaitable[None]]:
    """Hand events to a subscriber, as delivery does; ids count up from ``first``."""

    async def hand(handler: Any, *data: Any, first: int = 1) -> None:
        events = [event(one, id=f"00000000-0000-7000-8000-{first + n:012}") for n, one in enumerate(data)]
        async with engine.begin() as connection:
            await handler(connection, events)

    return hand
