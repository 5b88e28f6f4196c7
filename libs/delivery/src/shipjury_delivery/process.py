"""How a service runs: its API on two ports, its worker, its migrations; alone or many in one process."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from .consume import Subscription
from .jobs import JobHandler
from .settings import ServiceSettings

AsgiApp = Callable[..., Any]
Background = Callable[..., Any]


@dataclass(frozen=True)
class Api:
    """A running API. ``public`` answers readers under the service's prefixes, ``operator`` under ``/<service>/``."""

    public: AsgiApp
    operator: AsgiApp
    background: Sequence[Background] = ()
    """Coroutine functions ``(stop: asyncio.Event) -> None`` that run as long as the API does."""


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


def service_cli(
    service: str,
    settings: type[ServiceSettings],
    api: Callable[[Any], AbstractAsyncContextManager[Api]],
    worker: Callable[[Any], AbstractAsyncContextManager[Worker]],
) -> typer.Typer:
    """The service's command line: ``api``, ``worker``, ``migrate``; the service adds its own commands."""
    raise NotImplementedError
