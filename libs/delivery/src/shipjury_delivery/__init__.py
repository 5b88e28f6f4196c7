"""What makes delivery sound: outbox, idempotent consumption, retries and dead letters, job leases, health, telemetry.

A service states what it consumes (:class:`Subscription`), what it does at length (:class:`JobHandler`) and publishes
with :func:`publish` inside its own transaction. Everything else (order, duplicates, crashes, back-off) is here.
"""

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
