"""What makes delivery sound: outbox, idempotent consumption, retries and dead letters, job leases, health, telemetry.

A service states what it consumes (:class:`Subscription`), what it does at length (:class:`JobHandler`) and publishes
with :func:`publish` inside its own transaction. Everything else (order, duplicates, crashes, back-off) is here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .consume import Handler, Permanent, Subscription
    from .jobs import Job, JobHandler, LeaseLost, complete, enqueue
    from .outbox import publish
    from .process import Api, Worker, service_cli
    from .settings import ServiceSettings

__all__ = [
    "Api",
    "Handler",
    "Job",
    "JobHandler",
    "LeaseLost",
    "Permanent",
    "ServiceSettings",
    "Subscription",
    "Worker",
    "complete",
    "enqueue",
    "publish",
    "service_cli",
]

_HOME = {
    "consume": ("Handler", "Permanent", "Subscription"),
    "jobs": ("Job", "JobHandler", "LeaseLost", "complete", "enqueue"),
    "outbox": ("publish",),
    "process": ("Api", "Worker", "service_cli"),
    "settings": ("ServiceSettings",),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a process without a database (an edge node) does not wait for SQLAlchemy."""
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
