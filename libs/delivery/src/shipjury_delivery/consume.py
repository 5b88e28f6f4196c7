"""Subscribers: batches of raw records become effects, once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import Contract, Event

D = TypeVar("D", bound=Contract)

Handler = Callable[[AsyncConnection, Sequence[Event[D]]], Awaitable[None]]


class Permanent(Exception):
    """Raised by a handler: this event can never be applied. It goes to the dead letters at once."""


@dataclass(frozen=True)
class Subscription(Generic[D]):
    """One subscriber: its group (``votes.on_vote_cast``), what it reads, and what it does with a batch.

    ``handle`` gets a connection inside a transaction and the batch's new events (decoded, no duplicates, in order
    per key). It works for less than a second and touches nothing but the connection: the inbox rows commit with it.
    """

    group: str
    contract: type[D]
    handle: Handler[D]
    max_attempts: int = 5
    """Tries of a record whose handler fails for no known reason; then it goes to the dead letters."""
    first_retry: timedelta = timedelta(milliseconds=200)
    """Wait before the second try; it doubles with each one."""
    timeout: timedelta = timedelta(seconds=30)
    """A handler that takes longer has failed; nothing should come near it."""
