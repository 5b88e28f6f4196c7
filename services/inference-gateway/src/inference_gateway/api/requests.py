"""The way of one request: authenticate, plan, reserve, attempt, settle; and back to reserve where an attempt failed
before anything reached the client.

One parse of the body, one round trip to Redis before an attempt and one after it; nothing waits for Postgres or Kafka.
Redis is told how an attempt ended before the client sees the end of its answer, and every gateway's calls reach it in
order: who has read the end and asks the same gateway again finds the cost counted.
"""

import asyncio
import random
import time
from datetime import UTC, datetime
from functools import lru_cache

from uuid_utils import uuid7

from shipjury_delivery.telemetry import current_traceparent

from ..domain.affinity import Warmth, prefix_of
from ..domain.errors import GatewayError
from ..domain.health import Health
from ..domain.ordering import Circumstances
from ..domain.plan import Plan, plan, refusal
from ..settings import Settings
from ..store.accounts import Account, digest
from ..store.admission import Admission
from ..store.snapshot import Snapshots
from .asked import Asked, read
from .booking import Booking, Job
from .http import ClientGone, Headers, Receive, Scope, Send, header, read_body, respond_error
from .labels import cost_centre, named_by
from .presence import Presence
from .settling import Settling
from .trying import Trying
from .upstream import Upstreams

_BY_PROMPT = frozenset({"cheapest", "affinity", "weighted"})
"""Sorts that look at what a provider may have cached of the prompt."""
_LONGEST = 1024
"""Bytes that an `Authorization` header may have: the latest are kept beside what they stand for."""


@lru_cache(maxsize=1024)
def _bearer(given: bytes) -> bytes:
    """What is stored of the key in an `Authorization` header; nothing where it holds none."""
    scheme, _, key = given.partition(b" ")
    return digest(key.strip().decode("latin-1")) if scheme.lower() == b"bearer" else b""


class Requests:
    """Serves `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings` as an ASGI app."""

    def __init__(
        self, settings: Settings, snapshots: Snapshots, admission: Admission, settling: Settling, upstreams: Upstreams
    ) -> None:
        self.health: dict[tuple[str, str], Health] = {}
        self._warmth = Warmth()
        self._settings = settings
        self._snapshots = snapshots
        self._trying = Trying(
            settings,
            Booking(admission, settling),
            upstreams,
            self.health,
            lambda deployment: snapshots.current.access(deployment),
            self._warmth,
        )
        self._running = 0

    async def close(self) -> None:
        """End what is still read for its cost only."""
        await self._trying.close()

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
        raw = await read_body(receive)
        asked = named_by(scope, read(scope["path"], raw, self._snapshots.current.catalogue))
        prefix = ""
        if asked.route.sort in _BY_PROMPT:
            prefix = prefix_of(asked.body, account.project_id)
        made = self._plan(asked, account, prefix)
        label = cost_centre(scope, account)
        until = asyncio.get_running_loop().time() + self._settings.request_seconds
        presence = Presence(receive)
        try:
            await self._trying.answer(
                Job(
                    request_id, asked, account, made, presence, send, named, label, current_traceparent(), until, prefix
                )
            )
        finally:
            presence.end()

    def authenticate(self, scope: Scope) -> Account:
        """The account of the request's key. Raises ``invalid_api_key``, ``project_blocked``."""
        given = header(scope, b"authorization") or b""
        account = self._snapshots.current.accounts.get(_bearer(given) if len(given) <= _LONGEST else b"")
        if account is None or (account.expires_at is not None and account.expires_at <= datetime.now(UTC)):
            raise GatewayError("invalid_api_key", "the API key is missing, unknown, revoked or expired")
        if account.blocked is not None:
            raise GatewayError("project_blocked", f"the project is blocked: {account.blocked}")
        return account

    def _plan(self, asked: Asked, account: Account, prefix: str) -> Plan:
        now = time.monotonic()
        deployments = self._snapshots.current.deployments(asked.model, account.project_id)
        route = asked.route
        made = plan(
            deployments,
            asked.need,
            route,
            account.policy,
            self.health,
            now=now,
            unix_time=time.time(),
            today=datetime.now(UTC).date(),
            about=Circumstances(
                stream=asked.stream,
                draw=random.getrandbits(64) if route.sort == "weighted" else 0,
                prefix=prefix,
                cached=lambda one: self._warmth.cached(prefix, one.id, now),
            ),
        )
        if not made.candidates:
            raise refusal(asked.model, made, self.health, now)
        return made
