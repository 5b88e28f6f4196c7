"""One call to one provider, from sending the request to the last byte of its answer.

Before the first byte a failure may be tried elsewhere (:attr:`End.retry`); after it the stream ends with an explicit
error event. A client that goes away interrupts the wait only where the provider stops billing then; otherwise the
answer is read on, within bounds, for what it says about its cost.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from pydantic import SecretStr

from ..domain.catalogue import Deployment
from .answers import MAX_ERROR_BYTES, End, broken_before, cut, refused, stalled, whole
from .asked import Asked
from .http import Headers, Send
from .presence import Presence
from .sse import ErrorInStream, Malformed, Reader
from .upstream import Upstreams


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines in seconds; ``until`` is the request's own, on the event loop's clock."""

    first_token_s: float
    answer_s: float
    idle_s: float
    until: float


class Attempt:
    """An attempt that runs. ``began`` says whether anything has reached the client."""

    def __init__(self, deployment: Deployment, asked: Asked, send: Send, presence: Presence, limits: Limits) -> None:
        self.began = False
        self._deployment = deployment
        self._asked = asked
        self._send = send
        self._presence = presence
        self._limits = limits
        self._sending = False
        self._ttft: float | None = None
        self._reader = Reader(keep_usage=asked.wants_usage)

    async def run(
        self, upstreams: Upstreams, credentials: Mapping[str, SecretStr], attempt_id: str, headers: Headers
    ) -> End:
        """Make the call. ``headers`` go to the client with the first byte of a stream. Faults become an :class:`End`;
        what is raised is a cancellation from outside."""
        presence, limits = self._presence, self._limits
        loop = asyncio.get_running_loop()
        started = loop.time()
        first = min(started + (limits.first_token_s if self._asked.stream else limits.answer_s), limits.until)
        body = self._asked.body_for(self._deployment)
        try:
            async with asyncio.timeout_at(first) as deadline:
                presence.under(deadline)
                presence.interruptible = not self._deployment.drain_when_gone
                response = await upstreams.post(self._deployment, self._asked.endpoint, body, credentials, attempt_id)
                async with response:
                    end = await self._read(response, deadline, started, headers)
        except asyncio.CancelledError:
            if not presence.caused():
                raise
            end = End("client_gone", "cancelled")
        except (TimeoutError, aiohttp.ClientError, OSError, Malformed, ErrorInStream) as fault:
            end = self._broken(fault)
        finally:
            presence.interruptible = False
            presence.under(None)
        await presence.absorb()
        if self._asked.stream and end.ended != "refused":
            end.tokens, end.usage = self._reader.tokens, self._reader.usage
            end.upstream_id = self._reader.upstream_id
        end.ttft_s = self._ttft
        return end

    async def _read(
        self, response: aiohttp.ClientResponse, deadline: asyncio.Timeout, started: float, headers: Headers
    ) -> End:
        if response.status != 200:
            raw = await response.content.read(MAX_ERROR_BYTES)
            return refused(self._deployment, response.status, raw, response.headers.get("Retry-After"))
        self._ttft = time_since(started)
        if not self._asked.stream:
            return await whole(response, self._asked, self._deployment)
        return await self._relay(response, deadline, started, headers)

    async def _relay(
        self, response: aiohttp.ClientResponse, deadline: asyncio.Timeout, started: float, headers: Headers
    ) -> End:
        loop = asyncio.get_running_loop()
        reader, presence, limits = self._reader, self._presence, self._limits
        while not reader.done and reader.fault is None:
            data = await response.content.readany()
            if not data:
                break
            piece = reader.feed(data)
            if not piece or (reader.fault is not None and not self.began):
                continue
            if presence.gone:
                if not self._deployment.drain_when_gone:
                    return End("client_gone", "cancelled")
                continue
            self._sending = True
            if not self.began:
                self.began = True
                self._ttft = time_since(started)
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            self._sending = False
            deadline.reschedule(min(loop.time() + limits.idle_s, limits.until))
        reader.finish()
        return End("client_gone" if presence.gone else "answered")

    def _broken(self, fault: BaseException) -> End:
        gone = self._presence.gone
        if not self.began:
            end = broken_before(self._deployment, fault)
            return End("client_gone", end.reason) if gone else end
        if isinstance(fault, TimeoutError):
            return stalled(self._deployment, sending=self._sending, gone=gone)
        told = isinstance(fault, Malformed | ErrorInStream)
        end = cut(self._deployment, str(fault) if told else "the connection was lost")
        return End("client_gone", end.reason) if gone else end


def time_since(started: float) -> float:
    """Seconds since a moment of the event loop's clock (a monotonic one)."""
    return time.monotonic() - started
