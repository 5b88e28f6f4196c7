"""What a service is made of when it runs: an API, a worker. Each service's ``app.py`` builds one of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from .bodies import DOCUMENTS, FORMS, BodyLimits
from .consume import Subscription
from .health import Check
from .jobs import JobHandler
from .settings import ServiceSettings
from .tasks import Background

AsgiApp = Callable[..., Any]


@dataclass(frozen=True)
class Api:
    """A running API. ``public`` answers readers under the service's prefixes, ``operator`` under ``/<service>/``."""

    public: AsgiApp
    operator: AsgiApp
    background: Sequence[Background] = ()
    """Coroutine functions ``(stop: asyncio.Event) -> None`` that run as long as the API does."""
    ready: Mapping[str, Check] = field(default_factory=dict)
    """What readyz looks at besides the database; a check raises where what it needs is away."""
    public_bodies: BodyLimits = FORMS
    operator_bodies: BodyLimits = DOCUMENTS


@dataclass(frozen=True)
class Worker:
    """What a worker does: subscriptions, jobs, the outbox relay, and its own loops until ``stop`` is set."""

    service: str
    engine: AsyncEngine
    settings: ServiceSettings
    subscriptions: Sequence[Subscription[Any]] = ()
    jobs: Sequence[JobHandler] = ()
    background: Sequence[Background] = ()
    relay: bool = field(default=True)
    ready: Mapping[str, Check] = field(default_factory=dict)
    """What readyz looks at besides database, broker, relay and subscribers."""
