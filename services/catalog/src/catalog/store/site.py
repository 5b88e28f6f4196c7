"""The site's revision: one number that grows with every change that a page can show.

It is read before a page's data, and raised inside the transaction that changes them: a page kept under a revision
is never older than it.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def revision(connection: AsyncConnection) -> int:
    """The revision that all data read after this call have, or a newer one."""
    return int((await connection.execute(text("SELECT revision FROM site"))).scalar_one())


async def touch(connection: AsyncConnection) -> None:
    """Pages rendered before this transaction's commit are out of date after it. Call it last: it locks one row."""
    await connection.execute(text("UPDATE site SET revision = revision + 1"))
