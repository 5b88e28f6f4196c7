"""The money of one attempt: what it may cost at most is reserved before it, what it did cost is settled after it."""

import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from .. import metrics
from ..domain.bounds import IMAGE_TOKENS, bound
from ..domain.budgets import charges, exceeded
from ..domain.errors import GatewayError
from ..domain.ordering import Candidate
from ..domain.plan import Plan
from ..domain.usage import Bill, bill
from ..store.accounts import Account
from ..store.admission import (
    Admission,
    AdmissionClosed,
    Cooling,
    RedisAway,
    Refused,
    Reservation,
    counters,
    shard_of,
)
from ..store.entries import Facts, encode_outcome
from . import tracing
from .answers import End
from .asked import Asked
from .http import Headers, Send
from .presence import Presence
from .settling import Settling


@dataclass(slots=True)
class Job:
    """One request on its way: who asks what, where it may go, and where its answer goes. ``until`` is its deadline on
    the event loop's clock; ``prefix`` names the beginning of its prompt, where that matters; ``attempts`` counts those
    that began; ``answered`` says that the client has the whole answer."""

    request_id: str
    asked: Asked
    account: Account
    made: Plan
    presence: Presence
    send: Send
    named: Headers
    cost_centre: str | None
    trace: str | None
    until: float
    prefix: str = ""
    attempts: int = 0
    answered: bool = False
    failed: list[dict[str, object]] = field(default_factory=list)


class Booking:
    """Reserves and settles attempts."""

    def __init__(self, admission: Admission, settling: Settling) -> None:
        self._admission = admission
        self.settling = settling

    def reservation(self, job: Job, candidate: Candidate, number: int, hedges: str | None = None) -> Reservation:
        """What an attempt takes at most. ``hedges`` names the provider that it runs beside. Raises
        ``unbounded_cost``."""
        deployment, price, account, asked = candidate.deployment, candidate.price, job.account, job.asked
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
        explanation: dict[str, Any] | None = job.made.explain() if number == 0 else None
        if hedges is not None:
            explanation = {"hedges": hedges}
        attempt_id = str(uuid7())
        facts = Facts(
            attempt_id=attempt_id,
            request_id=job.request_id,
            first=number == 0,
            organisation_id=account.organisation_id,
            project_id=account.project_id,
            key_id=account.key_id,
            cost_centre=job.cost_centre,
            end_user=asked.end_user(account.project_id),
            provider=deployment.provider,
            model=deployment.model,
            route=asked.path,
            started_at=at,
            price_version=None if price is None else price.version,
            bound_nano_usd=most_nano,
            counters=tuple((one.counter, one.budget.metric, one.amount, one.keep_s) for one in charged),
            explanation=explanation,
            traceparent=job.trace,
            prompt_hash=asked.prompt_hash(account.project_id) if number == 0 else None,
        )
        name = f"{deployment.provider}/{deployment.model}"
        return Reservation(attempt_id, shard, charged, facts.encode(), most_nano, name)

    async def reserve(self, reservation: Reservation) -> Cooling | None:
        """Reserve; returns how long the provider wants to be left alone, if it does, and then nothing is reserved.

        Redis away: what falls under no budget goes on, and is settled when Redis is back. Raises ``budget_exceeded``,
        ``rate_limit_exceeded``, ``admission_unavailable``.
        """
        try:
            refused = await self._admission.reserve(reservation)
        except AdmissionClosed as error:
            raise GatewayError(
                "admission_unavailable", "budgets are being rebuilt; nothing was spent", retry_after_s=2
            ) from error
        except RedisAway as error:
            if not reservation.charges and not self.settling.full:
                return None
            # It may have been taken though the answer did not come.
            self.settling.release_later(reservation)
            raise GatewayError(
                "admission_unavailable", "budgets cannot be checked now; nothing was spent", retry_after_s=2
            ) from error
        if isinstance(refused, Refused):
            metrics.REFUSED.labels(refused.budget.scope, refused.budget.metric, refused.budget.window).inc()
            raise exceeded(refused.budget, refused.used, refused.asked, datetime.now(UTC))
        return refused

    def settle(
        self, reservation: Reservation, candidate: Candidate, end: End, started: float
    ) -> tuple[Bill, Coroutine[Any, Any, None]]:
        """Settle an attempt that began at ``started`` (monotonic, s) by how it ended. Returns its bill, and what is to
        be awaited until it is settled or put off; that never raises."""
        most = reservation.bound_nano_usd
        billed = bill(candidate.price, most, ended=end.ended, tokens=end.tokens, reason=end.reason)
        outcome = encode_outcome(
            billed,
            usage=end.usage,
            upstream_request_id=end.upstream_id,
            duration_ms=round((time.monotonic() - started) * 1000),
            ttft_ms=None if end.ttft_s is None else round(end.ttft_s * 1000),
        )
        settled = self.settling.settle(reservation, outcome, billed)
        metrics.count(candidate.deployment.provider, candidate.deployment.model, billed, end.ttft_s)
        tracing.record(reservation, candidate.deployment, end, billed, started)
        return billed, settled

    async def cool(self, reservation: Reservation, seconds: float) -> None:
        """Tell every replica what a provider's Retry-After asks for; without Redis each learns it by itself."""
        try:
            await self._admission.cool(reservation.deployment, seconds)
        except RedisAway:
            pass
