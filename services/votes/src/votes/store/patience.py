"""A transaction that outlives a database's restart, for as long as a reader would wait, and no longer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipjury_delivery.back_off import BackOff
from shipjury_delivery.database import is_transient

_log = structlog.get_logger("votes.store")

T = TypeVar("T")


class Unavailable(Exception):
    """The database can't be reached; nothing is known to be stored. Ask again in :attr:`retry_after` seconds."""

    retry_after = 2


async def patiently(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]], seconds: float = 3.0) -> T:
    """What ``work`` makes of a connection inside a transaction, committed; tried again while the database is away.

    A commit whose answer was lost is tried again too, so ``work`` must come to the same end when done twice. Raises
    :class:`Unavailable` after ``seconds``; errors of the work itself at once.
    """
    back_off = BackOff(0.05, 0.5)
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    async with engine.begin() as connection:
                        return await work(connection)
                except (sa.exc.SQLAlchemyError, OSError) as error:
                    if not is_transient(error):
                        raise
                    _log.warning("the database is away, trying again", error=type(error).__name__)
                await asyncio.sleep(back_off.next())
    except TimeoutError as error:
        raise Unavailable("the database does not answer") from error
