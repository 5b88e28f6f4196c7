"""Talking to the brokers: how to connect, producers that end in bounded time, and which errors pass by themselves."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from .settings import KafkaSettings
from .tasks import within

MAX_REQUEST_BYTES = 1_048_576  # Kafka's own default for a batch
STOP_SECONDS = 3.0
RETRY_MS = 400  # between tries to reach a broker; aiokafka's 100 is a busy loop with several clients in a process


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """How aiokafka's clients connect, from the settings."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "client_id": f"shipjury-{settings.service}",
        "retry_backoff_ms": RETRY_MS,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        arguments["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if settings.kafka_security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        arguments["sasl_plain_username"] = settings.kafka_username
        arguments["sasl_plain_password"] = settings.kafka_password and settings.kafka_password.get_secret_value()
    return arguments


@contextlib.asynccontextmanager
async def producing(settings: KafkaSettings, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A started, idempotent producer: what it sends is in the log once, in order, or it says that it is not.

    Raises ``KafkaError`` where no broker answers. Ends within seconds even where the broker is away.
    """
    producer = AIOKafkaProducer(
        **connection(settings),
        **{
            "enable_idempotence": True,
            "max_request_size": MAX_REQUEST_BYTES,
            "request_timeout_ms": 10_000,
            "linger_ms": 2,
            **options,
        },
    )
    try:
        async with asyncio.timeout(30):
            await producer.start()
        yield producer
    finally:
        await _stop(producer)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer. aiokafka's own stop waits for what cannot be sent as long as the broker is away."""
    if await within(STOP_SECONDS, producer.stop()):
        return
    await within(STOP_SECONDS, producer._sender.close())  # there is no public way to give up
    await within(STOP_SECONDS, producer.client.close())


@contextlib.asynccontextmanager
async def consuming(consumer: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer, for a reader that FastStream does not run. Raises ``KafkaError`` where no broker answers.

    Ends within seconds, and not in the ``CancelledError`` that aiokafka's own stop may let out (aiokafka issue 647).
    """
    try:
        await consumer.start()
        yield consumer
    finally:
        await stop_consumer(consumer.stop(), consumer, STOP_SECONDS)


async def stop_consumer(stopping: Coroutine[Any, Any, None], consumer: AIOKafkaConsumer | None, seconds: float) -> None:
    """Stop a consumer in order, as ``stopping`` does it; where that fails, at least close its connections."""
    if not await within(seconds, stopping) and consumer is not None:
        await within(STOP_SECONDS, consumer._client.close())
