"""The way of one request: authenticate, plan, reserve, attempt, settle; and back to reserve where an attempt failed
before anything reached the client.

One parse of the body, one round trip to Redis before an attempt and one after it; nothing waits for Postgres or Kafka.
An attempt is settled before the client sees the end of its answer, so that who reads the end may rely on the bill.
"""

import asyncio
import time
from datetime import UTC, datetime

import structlog
from uuid_utils import uuid7

from shipjury_delivery.telemetry import current_traceparent

from .. import metrics
from ..domain.bounds import IMAGE_TOKENS, bound
from ..domain.budgets import charges, exceeded
from ..domain.errors import GatewayError
from ..domain.health import Health
from ..domain.plan import Candidate, Plan, plan, refusal
from ..domain.usage import Bill, bill
from ..settings import Settings
from ..store.accounts import Account, digest
from ..store.admission import Admission, AdmissionClosed, RedisAway, Reservation, counters, shard_of
from ..store.entries import Facts, encode_outcome
from ..store.snapshot import Snapshots
from .answers import End
from .asked import Asked, read
from .attempt import Attempt, Limits
from .http import ClientGone, Headers, Receive, Scope, Send, error_event, header, read_body, respond, respond_error
from .labels import cost_centre
from .presence import Presence
from .settling import Settling
from .upstream import Upstreams

_log = structlog.get_logger("inference_gateway.requests")
_JSON = (b"content-type", b"application/json")
_SSE = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Requests:
    """Serves `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings` as an ASGI app."""

    def __init__(
        self, settings: Settings, snapshots: Snapshots, admission: Admission, settling: Settling, upstreams: Upstreams
    ) -> None:
        self.health: dict[tuple[str, str], Health] = {}
        self._settings = settings
        self._snapshots = snapshots
        self._admission = admission
        self._settling = settling
        self._upstreams = upstreams
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every error becomes an answer."""
        request_id = f"req_{uuid7().hex}"
        named: Headers = [(b"x-shipjury-request-id", request_id.encode()), (b"x-request-id", request_id.encode())]
        if scope["method"] != "POST":
            error = GatewayError("method_not_allowed", "this route takes POST")
            return await respond_error(send, error, [*named, (b"allow", b"POST")])
        if self._running >= self._settings.max_requests:
            error = GatewayError("gateway_overloaded", "the gateway serves as many requests as it may", retry_after_s=1)
            return await respond_error(send, error, named)
        self._running += 1
        try:
            await self._serve(scope, receive, send, request_id, named)
        except GatewayError as error:
            await respond_error(send, error, named)
        except ClientGone:
            pass
        finally:
            self._running -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str, named: Headers) -> None:
        account = self.authenticate(scope)
        raw = await read_body(receive, self._settings.max_body_bytes, header(scope, b"content-length"))
        asked = read(scope["path"], raw, self._snapshots.current.catalogue)
        made = self._plan(asked, account)
        presence = Presence(receive, self._settings.drain_seconds)
        try:
            await self._try_each(scope, asked, account, made, presence, send, request_id, named)
        finally:
            presence.end()

    def authenticate(self, scope: Scope) -> Account:
        """The account of the request's key. Raises ``invalid_api_key``, ``project_blocked``."""
        given = header(scope, b"authorization") or b""
        scheme, _, key = given.partition(b" ")
        account = None
        if scheme.lower() == b"bearer":
            account = self._snapshots.current.accounts.get(digest(key.strip().decode("latin-1")))
        if account is None or (account.expires_at is not None and account.expires_at <= datetime.now(UTC)):
            raise GatewayError("invalid_api_key", "the API key is missing, unknown, revoked or expired")
        if account.blocked is not None:
            raise GatewayError("project_blocked", f"the project is blocked: {account.blocked}")
        return account

    def _plan(self, asked: Asked, account: Account) -> Plan:
        now = time.monotonic()
        deployments = self._snapshots.current.catalogue.by_model[asked.model]
        made = plan(
            deployments,
            asked.need,
            asked.route,
            account.policy,
            self.health,
            now=now,
            unix_time=time.time(),
            today=datetime.now(UTC).date(),
        )
        if not made.candidates:
            waits = [self.health[one.id].retry_in(now) for one in deployments if one.id in self.health]
            raise refusal(asked.model, made, min(waits, default=1.0))
        return made

    async def _try_each(
        self,
        scope: Scope,
        asked: Asked,
        account: Account,
        made: Plan,
        presence: Presence,
        send: Send,
        request_id: str,
        named: Headers,
    ) -> None:
        until = asyncio.get_running_loop().time() + self._settings.request_seconds
        label = cost_centre(scope, account)
        trace = current_traceparent()
        failed: list[dict[str, object]] = []
        last: GatewayError | None = None
        for number, candidate in enumerate(made.candidates[: self._settings.max_attempts]):
            reservation = self._reservation(asked, account, made, candidate, request_id, number, label, trace)
            if not await self._reserve(reservation) or presence.gone:
                await self._settling.release(reservation)
                return
            attempt = Attempt(
                candidate.deployment,
                asked,
                send,
                presence,
                Limits(
                    first_token_s=self._settings.first_token_seconds,
                    answer_s=self._settings.answer_seconds,
                    idle_s=self._settings.idle_seconds,
                    until=until,
                ),
            )
            headers = self._headers(named, candidate, number)
            started = time.monotonic()
            health = self.health.setdefault(candidate.deployment.id, Health())
            health.begin(started)
            credentials = self._snapshots.current.headers.get(candidate.deployment.provider, {})
            try:
                end = await attempt.run(self._upstreams, credentials, reservation.attempt_id, [*_SSE, *headers])
            except BaseException:
                health.end()
                lost = End("lost", "gateway_stopped")
                await asyncio.shield(self._settle(reservation, candidate, lost, started))
                raise
            _judge(health, end)
            billed = await self._settle(reservation, candidate, end, started)
            if presence.gone or attempt.began or end.error is None:
                await _finish(send, presence, attempt, end, billed, headers)
                return
            last = end.error
            failed.append({"provider": candidate.deployment.provider, "reason": end.reason})
            if not end.retry:
                raise last
        if last is not None:
            last.extra = {**last.extra, "attempts": failed}
            raise last

    def _reservation(
        self,
        asked: Asked,
        account: Account,
        made: Plan,
        candidate: Candidate,
        request_id: str,
        number: int,
        label: str | None,
        trace: str | None,
    ) -> Reservation:
        deployment, price = candidate.deployment, candidate.price
        at = datetime.now(UTC)
        most = bound(
            asked.need.size, deployment.max_output_tokens, image_tokens=deployment.image_tokens or IMAGE_TOKENS
        )
        most_nano = None if price is None or most is None else price.bound(most)
        shard = shard_of(account.organisation_id)
        charged = charges(
            account.budgets,
            counters(shard),
            bound_nano_usd=most_nano,
            bound=most,
            first_attempt=number == 0,
            at=at,
        )
        attempt_id = str(uuid7())
        facts = Facts(
            attempt_id=attempt_id,
            request_id=request_id,
            first=number == 0,
            organisation_id=account.organisation_id,
            project_id=account.project_id,
            key_id=account.key_id,
            cost_centre=label,
            end_user=asked.end_user(account.project_id),
            provider=deployment.provider,
            model=deployment.model,
            route=asked.path,
            started_at=at,
            price_version=None if price is None else price.version,
            bound_nano_usd=most_nano,
            counters=tuple((charge.counter, charge.budget.metric) for charge in charged),
            explanation=made.explain() if number == 0 else None,
            traceparent=trace,
        )
        return Reservation(attempt_id, shard, charged, facts.encode(), most_nano)

    async def _reserve(self, reservation: Reservation) -> bool:
        try:
            refused = await self._admission.reserve(reservation)
        except AdmissionClosed as error:
            raise GatewayError(
                "admission_unavailable", "budgets are being rebuilt; nothing was spent", retry_after_s=2
            ) from error
        except RedisAway as error:
            # It may have been taken though the answer did not come.
            self._settling.release_later(reservation)
            raise GatewayError(
                "admission_unavailable", "budgets cannot be checked now; nothing was spent", retry_after_s=2
            ) from error
        if refused is not None:
            raise exceeded(refused.budget, refused.used, refused.asked, datetime.now(UTC))
        return True

    async def _settle(self, reservation: Reservation, candidate: Candidate, end: End, started: float) -> Bill:
        most = reservation.bound_nano_usd
        billed = bill(candidate.price, most, ended=end.ended, tokens=end.tokens, reason=end.reason)
        outcome = encode_outcome(
            billed,
            usage=end.usage,
            upstream_request_id=end.upstream_id,
            duration_ms=round((time.monotonic() - started) * 1000),
            ttft_ms=None if end.ttft_s is None else round(end.ttft_s * 1000),
        )
        await self._settling.settle(reservation, outcome, billed)
        metrics.count(candidate.deployment.provider, candidate.deployment.model, billed, end.ttft_s)
        return billed

    def _headers(self, named: Headers, candidate: Candidate, number: int) -> Headers:
        return [
            *named,
            (b"x-shipjury-provider", candidate.deployment.provider.encode()),
            (b"x-shipjury-model", candidate.deployment.model.encode("latin-1", "replace")),
            (b"x-shipjury-attempts", str(number + 1).encode()),
        ]


async def _finish(send: Send, presence: Presence, attempt: Attempt, end: End, billed: Bill, headers: Headers) -> None:
    """The last bytes of an answer, after its bill is settled."""
    if presence.gone:
        return
    if attempt.began:
        last = b"data: [DONE]\n\n" if end.error is None else error_event(end.error)
        await send({"type": "http.response.body", "body": last})
        return
    if billed.nano_usd is not None:
        headers = [*headers, (b"x-shipjury-cost-nano-usd", str(billed.nano_usd).encode())]
    await respond(send, 200, end.body, [_JSON, *headers])


def _judge(health: Health, end: End) -> None:
    """What an attempt says about its provider."""
    now = time.monotonic()
    if end.retry_after_s is not None:
        health.cool(now, min(end.retry_after_s, 3600.0))
    if end.blame and end.status != 429:
        health.fail(now)
    elif end.ended == "answered" and end.error is None:
        health.succeed(end.ttft_s, None)
    else:
        health.end()
