"""One producer for a worker's dead letters: started when the first one dies, replaced when it fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from .kafka import producing
from .settings import ServiceSettings
from .topics import DEAD_LETTER_BYTES


class SharedProducer:
    """Lends a producer, one user at a time."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._stack = contextlib.AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[AIOKafkaProducer]:
        """The producer. Where its user meets a ``KafkaError``, the next one gets a new producer."""
        async with self._lock:
            if self._producer is None:
                self._producer = await self._stack.enter_async_context(
                    producing(self._settings, max_request_size=DEAD_LETTER_BYTES)
                )
            try:
                yield self._producer
            except (KafkaError, OSError, asyncio.CancelledError):
                await self.stop()
                raise

    async def stop(self) -> None:
        """Stop the producer, if there is one."""
        self._producer = None
        await self._stack.aclose()
