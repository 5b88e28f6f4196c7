"""An issue of the digest went out: it joins the archive."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import DigestSent, Event

from .store.community import keep_digest
from .store.site import touch


async def on_digest_sent(connection: AsyncConnection, events: Sequence[Event[DigestSent]]) -> None:
    """Fold a batch; an event that is not newer than what stands changes nothing."""
    changes = [await keep_digest(connection, event.data) for event in events]
    if any(changes):
        await touch(connection)
