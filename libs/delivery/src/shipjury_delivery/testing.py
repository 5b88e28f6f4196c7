"""What delivery is tested with: a world with a ledger of effects, and a gate through which a database goes away.

It needs the addresses of a Kafka and a Postgres, and knows nothing of which they are: ``libs/delivery/tests`` gives it
the embedded ones, ``tests/containers`` the real ones. Services may use it in their own tests.
"""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast
from uuid import uuid4

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shipjury_schemas import Contract, Event, Message, Topic, encode

from .consume import Subscription
from .jobs import JobHandler
from .kafka import consuming
from .outbox import publish
from .process import Worker
from .settings import ServiceSettings
from .tables import metadata
from .working import Working

ledger = sa.Table(
    "ledger",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)


_RECORD = sa.text(
    "INSERT INTO ledger (who, key, number) SELECT :who, key, number "
    "FROM unnest(CAST(:keys AS text[]), CAST(:numbers AS bigint[])) WITH ORDINALITY AS told(key, number, place) "
    "ORDER BY place"
)


class Happened(Contract):
    """An event of the tests: the ``number``-th of its ``key``."""

    subject: str
    text: str = ""


class BrokerControl(Protocol):
    """A broker that a test may take away. It keeps its data and its address."""

    def stop(self) -> None:
        """Take it away."""

    def start(self) -> None:
        """Bring it back, and wait until it answers."""


def contract() -> type[Happened]:
    """A contract with a topic of its own, so that tests can share a broker."""
    name = f"test.{uuid4().hex[:12]}.v1"

    class Own(Happened):
        topic: ClassVar[Topic] = Topic(name, "subject", "forever", producer="test", consumers=("test",))

    return Own


def happened(of: type[Happened], key: str, number: int, text: str = "") -> Event[Happened]:
    """The ``number``-th event of a key."""
    return Event(of(subject=key, aggregate_version=number, text=text), source="/test")


def sequence(of: type[Happened], keys: Iterable[str], numbers: Iterable[int]) -> list[Event[Happened]]:
    """Events of several keys, interleaved, numbers rising per key."""
    names = list(keys)
    return [happened(of, key, number) for number in numbers for key in names]


async def until(check: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    """Poll until ``check`` is true. Raises ``TimeoutError``."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what it waits for is in another process
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class World:
    """A Kafka, a database with delivery's tables and a ledger, and a topic of its own."""

    kafka: str
    database_url: str
    engine: AsyncEngine
    contract: type[Happened]
    group: str

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self.contract.topic.name

    @property
    def dead_letters(self) -> str:
        """The name of the topic's dead letters."""
        return self.contract.topic.dead_letters(self.group)

    def settings(self, **changes: Any) -> ServiceSettings:
        """Settings of a service here."""
        return ServiceSettings(
            **{
                "database_url": SecretStr(self.database_url),
                "kafka_bootstrap_servers": self.kafka,
                "operator_key": SecretStr("test"),
                "topic_partitions": 3,
                **changes,
            }
        )

    def subscription(self, handle: Any = None, **options: Any) -> Subscription[Happened]:
        """A subscription that writes each event into the ledger, or does what ``handle`` says."""
        return Subscription(self.group, self.contract, handle or self.record, **options)

    async def record(self, connection: AsyncConnection, events: Sequence[Event[Happened]]) -> None:
        """The effect of an event: a line in the ledger."""
        await connection.execute(
            _RECORD,
            {
                "who": self.group,
                "keys": [one.subject for one in events],
                "numbers": [one.data.aggregate_version for one in events],
            },
        )

    @contextlib.asynccontextmanager
    async def worker(
        self,
        *subscriptions: Subscription[Any],
        jobs: Sequence[JobHandler] = (),
        relay: bool = False,
        engine: AsyncEngine | None = None,
        **settings: Any,
    ) -> AsyncIterator[Working]:
        """A running worker; stopped in order at the end."""
        working = Working(
            Worker("test", engine or self.engine, self.settings(**settings), subscriptions, jobs, relay=relay),
            session_timeout_ms=6000,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(working.run(stop))
        try:
            yield working
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)

    async def publish(self, *events: Event[Any]) -> None:
        """Put events into the outbox, in one transaction."""
        async with self.engine.begin() as connection:
            await publish(connection, *events)

    async def produce(self, *events: Event[Any]) -> None:
        """Put events into Kafka, past the outbox."""
        await self.send(*(encode(event) for event in events))

    async def send(self, *messages: Message | tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]) -> None:
        """Put raw messages into the topic, in order."""
        async with self._producer() as producer:
            sent = []
            for message in messages:
                key, value, headers = (
                    (message.key, message.value, message.headers) if isinstance(message, Message) else message
                )
                sent.append(await producer.send(self.topic, key=key, value=value, headers=list(headers)))
            await asyncio.gather(*sent)

    @contextlib.asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        from .topics import ensure_topics

        await ensure_topics(self.settings(), [self.subscription()], [])
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, enable_idempotence=True)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def numbers(self) -> dict[str, list[int]]:
        """The ledger: each key's numbers in the order of their effects."""
        async with self.engine.connect() as connection:
            rows = await connection.execute(sa.select(ledger.c.key, ledger.c.number).order_by(ledger.c.id))
        found: dict[str, list[int]] = defaultdict(list)
        for key, number in rows:
            found[key].append(number)
        return dict(found)

    async def until_numbers(self, expected: Mapping[str, Sequence[int]], seconds: float = 30.0) -> None:
        """Wait until the ledger holds as many lines as expected, then hold it to exactly these, in order."""
        total = sum(len(numbers) for numbers in expected.values())

        async def enough() -> bool:
            return sum(len(numbers) for numbers in (await self.numbers()).values()) >= total

        with contextlib.suppress(TimeoutError):
            await until(enough, seconds)
        found = await self.numbers()
        if found != {key: list(numbers) for key, numbers in expected.items()}:
            raise AssertionError(f"the ledger holds {found}")

    async def records(self, topic: str, count: int, seconds: float = 30.0) -> "list[ConsumerRecord[Any, Any]]":
        """The first ``count`` records of a topic, from the beginning, sorted by partition and offset."""
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        found: list[ConsumerRecord[Any, Any]] = []
        async with consuming(consumer), asyncio.timeout(seconds):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
        return sorted(found, key=lambda record: (record.partition, record.offset))

    async def scalar(self, query: str, **arguments: Any) -> Any:
        """One value from the database."""
        async with self.engine.connect() as connection:
            return await connection.scalar(sa.text(query), arguments)

    def as_arguments(self) -> str:
        """This world as text, for a process of its own that is to be killed; see :func:`from_arguments`."""
        return json.dumps(
            {"kafka": self.kafka, "database_url": self.database_url, "topic": self.topic, "group": self.group}
        )


def from_arguments(text: str) -> World:
    """The world that :meth:`World.as_arguments` wrote."""
    told = json.loads(text)

    class Own(Happened):
        topic: ClassVar[Topic] = Topic(told["topic"], "subject", "forever", producer="test", consumers=("test",))

    return World(told["kafka"], told["database_url"], create_async_engine(told["database_url"]), Own, told["group"])


@contextlib.asynccontextmanager
async def a_world(kafka: str, database_url: str) -> AsyncIterator[World]:
    """A world on a Kafka and an empty database."""
    engine = create_async_engine(database_url, pool_pre_ping=True)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.run_sync(ledger.metadata.create_all)
    own = contract()
    try:
        yield World(kafka, database_url, engine, own, f"test.on_{own.topic.name}")
    finally:
        await engine.dispose()


class Gate:
    """A way to the database that can be shut: connections break, and new ones are refused."""

    def __init__(self, database_url: str) -> None:
        self._url = make_url(database_url)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._port = 0

    @property
    def url(self) -> str:
        """The database's URL through the gate."""
        return self._url.set(host="127.0.0.1", port=self._port).render_as_string(hide_password=False)

    async def open(self) -> None:
        """Let connections through, at the same port as before."""
        self._server = await asyncio.start_server(self._through, "127.0.0.1", self._port)
        self._port = cast(int, self._server.sockets[0].getsockname()[1])

    async def shut(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        self._server = None

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._url.host, self._url.port)
        await asyncio.gather(self._pipe(reader, back), self._pipe(there, writer), return_exceptions=True)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            self._open.discard(writer)
            writer.close()


@contextlib.asynccontextmanager
async def a_gate(database_url: str) -> AsyncIterator[Gate]:
    """An open gate to a database."""
    gate = Gate(database_url)
    await gate.open()
    try:
        yield gate
    finally:
        await gate.shut()
