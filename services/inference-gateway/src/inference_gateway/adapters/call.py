"""A call as it goes out, and what is done to its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import aiohttp
from yarl import URL

PATHS = {"chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}


class Translator(Protocol):
    """Turns another API's answer into OpenAI's, piece by piece. One for each call."""

    def whole(self, raw: bytes) -> bytes:
        """An answer in one piece. Raises :class:`ValueError` where it is none."""

    def feed(self, data: bytes) -> bytes:
        """Server-sent events out of a stream's next bytes. Raises :class:`ValueError` where they make no sense."""

    def end(self) -> bytes:
        """What a stream that has ended in order still has to say, such as `[DONE]`."""


@dataclass(frozen=True, slots=True)
class Call:
    """Where to, with what body; ``translate`` makes the translator of an answer that is not OpenAI's already."""

    url: URL
    body: bytes
    streams: bool = False
    translate: Callable[[], Translator] | None = None


class Incoming(Protocol):
    """An answer whose head has come and whose body is still to be read. Leaving its block gives the connection back."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers, found whatever their case."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    async def readany(self) -> bytes:
        """What has come since the last call, at least a byte; nothing at the end. Raises aiohttp's errors."""

    async def read(self, limit: int = -1) -> bytes:
        """The body, or its first ``limit`` bytes. Raises aiohttp's errors."""

    def close(self) -> None:
        """Leave the connection, whatever still comes."""


class Translated:
    """An answer in OpenAI's words."""

    def __init__(self, response: Incoming, translator: Translator, *, streams: bool) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._translator = translator
        self._streams = streams and response.status == 200
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._response.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._response.__aexit__(*error)

    def close(self) -> None:
        """Leave the connection."""
        self._response.close()

    async def readany(self) -> bytes:
        """The next events of a stream; nothing at its end."""
        while not self._ended:
            data = await self._response.readany()
            try:
                if not data:
                    self._ended = True
                    return self._translator.end()
                events = self._translator.feed(data)
            except ValueError as error:
                raise aiohttp.ClientPayloadError(str(error)) from error
            if events:
                return events
        return b""

    async def read(self, limit: int = -1) -> bytes:
        """An answer in one piece, or a refusal's body as it came, up to ``limit`` bytes."""
        if self.status != 200:
            return await self._response.read(limit)
        raw = await self._response.read(limit + 1 if limit >= 0 else limit)
        if 0 <= limit < len(raw):
            raise aiohttp.ClientPayloadError(f"the answer has more than {limit} bytes")
        try:
            return self._translator.whole(raw)
        except ValueError:
            # Whoever reads it finds out that it is no answer, and says so.
            return raw
