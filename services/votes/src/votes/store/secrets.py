"""Keys and daily salts: what identities and hashes of networks are made from."""

import asyncio
import hashlib
import hmac
import secrets
from datetime import UTC, date, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .patience import patiently

PSEUDONYMS = "pseudonyms"
COOKIES = "cookies"
NETWORKS = "networks"


class KeyChanged(Exception):
    """A key that must stay is not the one that was used before: every voter could vote again. Restore it."""


async def keep_key(connection: AsyncConnection, name: str, given: bytes | None, *, permanent: bool = False) -> bytes:
    """The key of that name: the given one, else the one drawn at the first start and kept in the database.

    For a permanent key a fingerprint is kept. Raises :class:`KeyChanged` where it is another one than before.
    """
    drawn = None if given else secrets.token_bytes(32)
    await connection.execute(
        sa.text("INSERT INTO keys (name, secret, fingerprint) VALUES (:name, :secret, :print) ON CONFLICT DO NOTHING"),
        {"name": name, "secret": drawn, "print": _fingerprint(given or drawn or b"", name)},
    )
    row = (await connection.execute(sa.text("SELECT * FROM keys WHERE name = :name"), {"name": name})).one()
    key: bytes | None = given or row.secret
    if key is None:
        if permanent:
            raise KeyChanged(f"the key {name!r} was given by a setting before and is missing now")
        key = drawn or b""
        await connection.execute(
            sa.text("UPDATE keys SET secret = :secret WHERE name = :name AND secret IS NULL"),
            {"name": name, "secret": drawn},
        )
    if permanent and not hmac.compare_digest(row.fingerprint, _fingerprint(key, name)):
        raise KeyChanged(f"the key {name!r} is not the one that was used before")
    return key


def _fingerprint(key: bytes, name: str) -> str:
    return hmac.digest(key, b"fingerprint of " + name.encode(), hashlib.sha256).hex()[:16]


class DailySalt:
    """The salt of the present day (UTC), the same for every replica. Yesterday's is deleted when today's is drawn.

    Without its salt a hash of a network can't be traced back, not even by trying all prefixes.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: tuple[date, bytes] | None = None
        self._asking = asyncio.Lock()

    async def at(self, now: datetime) -> bytes:
        """The salt of the day of ``now``. Raises ``Unavailable``."""
        day = now.astimezone(UTC).date()
        if self._known and self._known[0] == day:
            return self._known[1]
        async with self._asking:  # at midnight one asks for all
            if self._known is None or self._known[0] != day:
                self._known = day, await patiently(self._engine, lambda connection: salt_of(connection, day))
            return self._known[1]


async def salt_of(connection: AsyncConnection, day: date) -> bytes:
    """That day's salt, drawn where there is none yet; the salts of days before it are destroyed."""
    await destroy_salts(connection, day)
    await connection.execute(
        sa.text("INSERT INTO salts (day, salt) VALUES (:day, :salt) ON CONFLICT DO NOTHING"),
        {"day": day, "salt": secrets.token_bytes(32)},
    )
    salt: bytes = (
        await connection.execute(sa.text("SELECT salt FROM salts WHERE day = :day"), {"day": day})
    ).scalar_one()
    return salt


async def destroy_salts(connection: AsyncConnection, today: date) -> int:
    """Delete the salts of all days before ``today``. Returns how many there were."""
    result = await connection.execute(sa.text("DELETE FROM salts WHERE day < :today"), {"today": today})
    return result.rowcount
