"""From a plan to an answer: one candidate after the other, a second one beside a slow first, all again after a pause.

Only before the first byte has reached the client, only within the request's deadline, and every attempt reserves by
itself. Providers are tried again only where the attempt cost nothing: what may have been billed is not asked for twice
of the same provider.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from .. import metrics
from ..adapters.access import Access
from ..domain.affinity import Warmth
from ..domain.catalogue import Deployment
from ..domain.errors import GatewayError
from ..domain.health import Health
from ..domain.ordering import Candidate
from ..domain.usage import Bill
from ..settings import Settings
from .answers import End
from .attempt import Attempt, Limits
from .booking import Booking, Job
from .http import Headers, error_event, respond
from .race import Allowance, Race
from .upstream import Upstreams

_log = structlog.get_logger("inference_gateway.trying")
_BACK_OFF_S, _MAX_BACK_OFF_S = 0.1, 2.0
_MOST_RULED_OUT, _LONGEST = 8, 1000
_UNPRINTABLE = re.compile(rb"[^ -~]")
_JSON = (b"content-type", b"application/json")
_SSE = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


@dataclass(slots=True)
class Tried:
    """An attempt that is over; without ``attempt`` and ``bill`` nothing was sent."""

    candidate: Candidate
    end: End
    attempt: Attempt | None = None
    bill: Bill | None = None
    headers: Headers | None = None


class Trying:
    """Makes attempts. ``access`` lets calls to a deployment in."""

    def __init__(
        self,
        settings: Settings,
        booking: Booking,
        upstreams: Upstreams,
        health: dict[tuple[str, str], Health],
        access: Callable[[Deployment], Access],
        warmth: Warmth,
    ) -> None:
        self._settings = settings
        self._booking = booking
        self._upstreams = upstreams
        self._health = health
        self._access = access
        self._warmth = warmth
        self._allowance = Allowance(settings.hedge_share)
        self._drains: set[asyncio.Task[Tried | None]] = set()

    async def answer(self, job: Job) -> None:
        """Answer a request out of its plan. Raises :class:`GatewayError` where nothing has reached the client."""
        queue, again, rounds = list(job.made.candidates), list[Candidate](), 0
        while True:
            candidate = queue.pop(0)
            after = self._hedge_after(job, candidate, queue)
            if after is None:
                tried: tuple[Tried, ...] = (await self._once(job, candidate),)
            else:
                tried = await self._hedged(job, candidate, queue, after)
            for one in tried:
                if job.presence.gone or job.answered:
                    return
                if one.end.error is None or (one.attempt is not None and one.attempt.began):
                    await _finish(job, one)
                    return
                job.failed.append({"provider": one.candidate.deployment.provider, "reason": one.end.reason})
                if not one.end.retry:
                    raise one.end.error
                if _may_help_later(one.end):
                    again.append(one.candidate)
            if not queue and rounds < self._settings.retries:
                queue = await self._later(job, again, rounds)
                rounds += 1
                if queue:
                    again = []
            if job.presence.gone:
                return
            spent = asyncio.get_running_loop().time() >= job.until
            if not queue or job.attempts >= self._settings.max_attempts or spent:
                raise self._failure(job, tried[-1], [*queue, *again])

    async def close(self) -> None:
        """End what still reads answers that nobody waits for; they become uncertain."""
        for task in self._drains:
            task.cancel()
        await asyncio.gather(*self._drains, return_exceptions=True)

    async def _later(self, job: Job, again: list[Candidate], rounds: int) -> list[Candidate]:
        """Wait as long as the providers ask for, and a random time (full jitter); then who may be tried again."""
        if not again or not job.asked.route.allow_fallbacks or job.attempts >= self._settings.max_attempts:
            return []
        wait = self._soonest(again) + random.uniform(0, min(_MAX_BACK_OFF_S, _BACK_OFF_S * 2**rounds))
        if wait > self._settings.retry_wait_seconds or asyncio.get_running_loop().time() + wait >= job.until:
            return []
        if not await job.presence.stays(wait):
            return []
        metrics.RETRIES.inc()
        now = time.monotonic()
        return [one for one in again if self._health[one.deployment.id].refusal(now) is None]

    def _failure(self, job: Job, last: Tried, left: list[Candidate]) -> GatewayError:
        """The last attempt's error, with what went before, and when the first of those left may be called again."""
        error = last.end.error
        assert error is not None  # noqa: S101 - what had no error has been answered
        error.extra = {**error.extra, "attempts": job.failed}
        others = [one for one in left if one is not last.candidate]
        if error.retry_after_s is not None and others:
            error.retry_after_s = max(1.0, min(error.retry_after_s, self._soonest(others)))
        return error

    def _soonest(self, candidates: Iterable[Candidate]) -> float:
        """Seconds until the first of them may be called again."""
        now = time.monotonic()
        seen = (self._health.get(one.deployment.id) for one in candidates)
        return min(0.0 if one is None else one.retry_in(now) for one in seen)

    async def _once(self, job: Job, candidate: Candidate, race: Race | None = None, beside: str | None = None) -> Tried:
        """One attempt: reserve, call, settle. Raises :class:`GatewayError` where it can't be reserved."""
        deployment = candidate.deployment
        number = job.attempts
        job.attempts += 1
        reservation = self._booking.reservation(job, candidate, number, beside)
        cooling = await self._booking.reserve(reservation)
        started = time.monotonic()
        health = self._health.setdefault(deployment.id, Health())
        if cooling is not None:
            job.attempts -= 1
            health.cool(started, cooling.seconds)
            return Tried(candidate, _cooling(deployment.provider, cooling.seconds))
        if job.presence.gone or (race is not None and race.winner is not None):
            await self._booking.settling.release(reservation)
            return Tried(candidate, End("not_sent", "not_needed"))
        settings = self._settings
        limits = Limits(
            first_token_s=settings.first_token_seconds,
            answer_s=settings.answer_seconds,
            idle_s=settings.idle_seconds,
            drain_s=settings.drain_seconds,
            until=job.until,
        )
        self._booking.settling.journal.intent(reservation.facts)
        attempt = Attempt(deployment, job.asked, job.send, limits)
        job.presence.when_gone(attempt.leave)
        if race is not None:
            race.enter(attempt)
        headers = answer_headers(job, candidate, number, hedge=beside is not None)
        health.begin(started)
        try:
            end = await attempt.run(
                self._upstreams,
                self._access(deployment),
                reservation.attempt_id,
                [*_SSE, *headers] if job.asked.stream else headers,
            )
        except BaseException:
            health.end()
            lost = End("lost", "gateway_stopped")
            await asyncio.shield(self._booking.settle(reservation, candidate, lost, started)[1])
            raise
        _judge(health, end, started, stream=job.asked.stream)
        if job.prefix and end.tokens is not None:
            self._warmth.note(job.prefix, deployment.id, end.tokens.cached_input, time.monotonic())
        billed, settled = self._booking.settle(reservation, candidate, end, started)
        tried = Tried(candidate, end, attempt, billed, headers)
        try:
            # Redis has been told: a whole answer need not wait until it has heard.
            if end.error is None and not job.asked.stream and not job.presence.gone:
                await _finish(job, tried)
                job.answered = True
        finally:
            await settled
        if end.retry_after_s:
            await self._booking.cool(reservation, min(end.retry_after_s, 3600.0))
        return tried

    def _hedge_after(self, job: Job, candidate: Candidate, others: list[Candidate]) -> float | None:
        """Seconds after which a second provider is asked beside this one; ``None`` for not at all."""
        if not self._allowance.share or not job.asked.stream:
            return None
        self._allowance.earn()
        seen = self._health.get(candidate.deployment.id)
        if seen is None or _other(candidate, others) is None:
            return None
        return seen.ttft_p95_s()

    async def _hedged(self, job: Job, candidate: Candidate, queue: list[Candidate], after: float) -> tuple[Tried, ...]:
        """An attempt, and a second one beside it where it is slow. Returns the one that was answered, or those that
        failed. The one that nobody waits for any more ends by itself."""
        race = Race()
        running = {asyncio.create_task(self._alone(job, candidate, race))}
        over: list[Tried] = []
        try:
            await _first(running, race, after)
            second = _other(candidate, queue)
            slow = race.winner is None and bool(race.attempts) and not any(task.done() for task in running)
            if slow and second is not None and job.attempts < self._settings.max_attempts and self._allowance.take():
                queue.remove(second)
                metrics.HEDGES.labels(second.deployment.provider, second.deployment.model).inc()
                running.add(asyncio.create_task(self._beside(job, second, race, candidate.deployment.provider)))
            while running and race.winner is None:
                for task in await _first(running, race):
                    running.discard(task)
                    if (one := task.result()) is not None:
                        over.append(one)
                        if race.winner is None and (one.end.error is None or not one.end.retry):
                            return tuple(over)
            while race.winner is not None and not any(one.attempt is race.winner for one in over):
                for task in (await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]:
                    running.discard(task)
                    if (one := task.result()) is not None:
                        over.append(one)
            return tuple(one for one in over if race.winner in (None, one.attempt))
        except BaseException:
            for task in running:
                task.cancel()
            raise
        finally:
            for attempt in race.attempts:
                if attempt is not race.winner:
                    attempt.abandon("hedge_lost")
            for task in running:
                self._drains.add(task)
                task.add_done_callback(self._drained)

    def _drained(self, task: asyncio.Task[Tried | None]) -> None:
        self._drains.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("an answer that nobody waited for failed", error=repr(task.exception()))

    async def _alone(self, job: Job, candidate: Candidate, race: Race) -> Tried | None:
        return await self._once(job, candidate, race)

    async def _beside(self, job: Job, candidate: Candidate, race: Race, first: str) -> Tried | None:
        try:
            return await self._once(job, candidate, race, first)
        except GatewayError:
            return None  # No room for a hedge in a budget: the first attempt goes on alone.


async def _first(
    running: set[asyncio.Task[Tried | None]], race: Race, seconds: float | None = None
) -> list[asyncio.Task[Tried | None]]:
    """Wait until an answer has begun or an attempt is over, at most so long; returns the attempts that are over."""
    waited: set[asyncio.Future[Any]] = {*running, race.begun}
    await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return [task for task in running if task.done()]


def _other(candidate: Candidate, others: list[Candidate]) -> Candidate | None:
    provider = candidate.deployment.provider
    return next((one for one in others if one.deployment.provider != provider), None)


def _may_help_later(end: End) -> bool:
    """Whether the same provider may be asked again: it cost nothing, and it may be well in a moment."""
    if end.reason == "cooling_down":
        return True
    return end.blame and end.ended in ("refused", "not_sent") and (end.stale or end.status not in (401, 403))


def _cooling(provider: str, seconds: float) -> End:
    error = GatewayError(
        "no_provider_available",
        f"{provider} asked to be left alone for {seconds:.1f} s",
        retry_after_s=seconds,
        extra={"provider": provider},
    )
    return End("not_sent", "cooling_down", error=error, retry=True)


def answer_headers(job: Job, candidate: Candidate, number: int, *, hedge: bool) -> Headers:
    """What an answer says about its way here."""
    named = [
        *job.named,
        (b"x-shipjury-provider", candidate.deployment.provider.encode()),
        (b"x-shipjury-model", candidate.deployment.model.encode("latin-1", "replace")),
        (b"x-shipjury-attempts", str(number + 1).encode()),
        (b"x-shipjury-sort", job.made.sort.encode()),
    ]
    if job.made.ruled_out:
        told = ", ".join(f"{out.deployment.provider}={out.rule}" for out in job.made.ruled_out[:_MOST_RULED_OUT])
        # A rule may name a parameter of the client's own invention: nothing of it may end a header.
        named.append((b"x-shipjury-ruled-out", _UNPRINTABLE.sub(b"?", told.encode("ascii", "replace"))[:_LONGEST]))
    if hedge:
        named.append((b"x-shipjury-hedge", b"won"))
    return named


async def _finish(job: Job, one: Tried) -> None:
    """The last bytes of an answer, after its bill is settled."""
    end, attempt = one.end, one.attempt
    if attempt is not None and attempt.began:
        last = b"data: [DONE]\n\n" if end.error is None else error_event(end.error)
        await job.send({"type": "http.response.body", "body": last})
        return
    headers = one.headers or job.named
    if one.bill is not None and one.bill.nano_usd is not None:
        headers = [*headers, (b"x-shipjury-cost-nano-usd", str(one.bill.nano_usd).encode())]
    await respond(job.send, 200, end.body, [_JSON, *headers])


def _judge(health: Health, end: End, started: float, *, stream: bool) -> None:
    """What an attempt says about its provider."""
    now = time.monotonic()
    if end.retry_after_s is not None:
        health.cool(now, min(end.retry_after_s, 3600.0))
    if end.blame and end.status != 429:
        health.fail(now)
    elif end.ended == "answered" and end.error is None:
        spent = now - started
        making = spent - (end.ttft_s or 0.0)
        speed = end.tokens.output / making if end.tokens is not None and making > 0.01 else None
        health.succeed(end.ttft_s, speed, None if stream else spent)
    else:
        health.end(end.ttft_s)
