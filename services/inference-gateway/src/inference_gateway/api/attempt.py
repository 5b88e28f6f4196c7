"""One call to one provider, from sending the request to the last byte of its answer.

Before the first byte a failure may be tried elsewhere (:attr:`End.retry`); after it the stream ends with an explicit
error event. An answer that nobody waits for any more (its client has left, or a hedge was faster) is cut off only where
the provider stops billing then; otherwise it is read on, within bounds, for what it says about its cost.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from ..adapters.access import Access
from ..adapters.call import Incoming
from ..adapters.limits import wait_of
from ..domain.catalogue import Deployment
from ..domain.errors import GatewayError
from .answers import MAX_ERROR_BYTES, End, broken_before, cut, refused, stalled, whole
from .asked import Asked
from .http import Headers, Send
from .sse import ErrorInStream, Malformed, Reader
from .upstream import Upstreams


@dataclass(slots=True)
class Limits:
    """Deadlines in seconds; ``until`` is the request's own, on the event loop's clock. ``drain_s`` is how long an
    answer is read on that nobody waits for."""

    first_token_s: float
    answer_s: float
    idle_s: float
    drain_s: float
    until: float


class Attempt:
    """An attempt that runs. ``began`` says whether anything of it has reached the client; ``abandoned`` why nobody
    waits for it any more. ``on_begin`` is called just before its first byte goes out."""

    def __init__(self, deployment: Deployment, asked: Asked, send: Send, limits: Limits) -> None:
        self.began = False
        self.abandoned: str | None = None
        self.on_begin: Callable[[Attempt], None] | None = None
        self._deployment = deployment
        self._asked = asked
        self._send = send
        self._limits = limits
        self._sending = False
        self._ttft: float | None = None
        self._reader = Reader(keep_usage=asked.wants_usage)
        self._task: asyncio.Task[object] | None = None
        self._deadline: asyncio.Timeout | None = None
        self._cancelled = False

    def leave(self) -> None:
        """The client has gone."""
        self.abandon("client_gone")

    def abandon(self, why: str) -> None:
        """Nobody waits for this answer any more: cut it off where that ends its cost, else read it on in bounds."""
        if self.abandoned is not None:
            return
        self.abandoned = why
        deadline = self._deadline
        if deadline is None or self._task is None:
            return
        if not self._deployment.drain_when_gone:
            self._cancelled = True
            self._task.cancel()
        elif not deadline.expired():
            when, limit = deadline.when(), asyncio.get_running_loop().time() + self._limits.drain_s
            deadline.reschedule(limit if when is None else min(when, limit))

    async def run(self, upstreams: Upstreams, access: Access, attempt_id: str, headers: Headers) -> End:
        """Make the call. ``headers`` go to the client with the first byte of a stream. Faults become an :class:`End`;
        what is raised is a cancellation from outside."""
        limits = self._limits
        started = asyncio.get_running_loop().time()
        first = min(started + (limits.first_token_s if self._asked.stream else limits.answer_s), limits.until)
        body = self._asked.body_for(self._deployment)
        self._task = asyncio.current_task()
        if self.abandoned is not None:
            return End("not_sent", self.abandoned)
        try:
            async with asyncio.timeout_at(first) as deadline:
                self._deadline = deadline
                response, stale = await upstreams.post(self._deployment, self._asked.endpoint, body, access, attempt_id)
                async with response:
                    end = await self._read(response, deadline, started, headers)
                    end.stale = stale
        except asyncio.CancelledError:
            if not self._caused():
                raise
            end = End("client_gone", "cancelled")
        except (TimeoutError, aiohttp.ClientError, OSError, Malformed, ErrorInStream) as fault:
            end = self._broken(fault)
        except GatewayError as error:
            # The adapter has no words for something in the request; another provider may have.
            end = End("not_sent", error.code, error=error, retry=True)
        finally:
            self._deadline = None
        await self._absorb()
        if self._asked.stream and end.ended != "refused":
            end.tokens, end.usage = self._reader.tokens, self._reader.usage
            end.upstream_id = self._reader.upstream_id
        if self.abandoned == "hedge_lost" and end.ended == "client_gone":
            end.reason = self.abandoned
        end.ttft_s = self._ttft
        return end

    async def _read(self, response: Incoming, deadline: asyncio.Timeout, started: float, headers: Headers) -> End:
        if response.status != 200:
            raw = await response.read(MAX_ERROR_BYTES)
            return refused(self._deployment, response.status, raw, wait_of(response.status, response.headers))
        if not self._asked.stream:
            return await whole(response, self._asked, self._deployment)
        return await self._relay(response, deadline, started, headers)

    async def _relay(self, response: Incoming, deadline: asyncio.Timeout, started: float, headers: Headers) -> End:
        loop = asyncio.get_running_loop()
        reader, limits = self._reader, self._limits
        while not reader.done and reader.fault is None:
            data = await response.readany()
            if not data:
                break
            piece = reader.feed(data)
            if not piece or (reader.fault is not None and not self.began):
                continue
            if self._ttft is None:
                self._ttft = loop.time() - started
            if self.abandoned is not None:
                if not self._deployment.drain_when_gone:
                    return End("client_gone", "cancelled")
                continue
            self._sending = True
            if not self.began:
                self.began = True
                if self.on_begin is not None:
                    self.on_begin(self)
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            self._sending = False
            if self.abandoned is None:
                _postpone(deadline, loop.time(), limits)
        reader.finish()
        return End("answered" if self.abandoned is None else "client_gone")

    def _broken(self, fault: BaseException) -> End:
        gone = self.abandoned is not None
        if not self.began:
            end = broken_before(self._deployment, fault)
            return End("client_gone", end.reason) if gone else end
        if isinstance(fault, TimeoutError):
            return stalled(self._deployment, sending=self._sending, gone=gone)
        told = isinstance(fault, Malformed | ErrorInStream)
        end = cut(self._deployment, str(fault) if told else "the connection was lost")
        return End("client_gone", end.reason) if gone else end

    def _caused(self) -> bool:
        """Whether the cancellation in hand is :meth:`abandon`'s; then it is taken back."""
        if not self._cancelled:
            return False
        self._cancelled = False
        if self._task is not None:
            self._task.uncancel()
        return True

    async def _absorb(self) -> None:
        """Take back a cancellation that has been asked for and not delivered yet: what follows must not be cut."""
        if self._cancelled:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                if not self._caused():
                    raise


def _postpone(deadline: asyncio.Timeout, now: float, limits: Limits) -> None:
    """Let the silence that is allowed begin anew. Up to a twentieth of it is given on top, so that a timer is set anew
    once in a while and not for each of a stream's pieces."""
    when, least = deadline.when(), min(now + limits.idle_s, limits.until)
    if when is None or not least <= when <= now + limits.idle_s * 1.05:
        deadline.reschedule(min(now + limits.idle_s * 1.05, limits.until))
