"""How a provider lets a call in: headers that stay, a signature over each call, or a token that is bought and runs out.

Values are secrets: nothing here logs them, and what represents an access says its kind only.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

from pydantic import SecretStr

_FETCH_BEFORE_S = 300.0
_WAIT_BEFORE_S = 30.0
_JUST_BOUGHT_S = 5.0


class NoAccess(OSError):
    """No token could be had; nothing was sent to the provider."""


class Access(Protocol):
    """Authenticates calls to one provider with one account's credentials."""

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """What this call carries. Raises :class:`NoAccess`."""

    def refused(self, sent: Mapping[str, str]) -> bool:
        """The provider has not let a call with these headers in. Returns whether another call will carry others."""


class Fixed:
    """Headers that are the same for every call."""

    def __init__(self, headers: Mapping[str, SecretStr]) -> None:
        self._headers = headers

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The headers."""
        return {name: value.get_secret_value() for name, value in self._headers.items()}

    def refused(self, sent: Mapping[str, str]) -> bool:
        """There is nothing to fetch."""
        return False


NOBODY = Fixed({})


class Bought:
    """A bearer token that is fetched when it is needed, by one call for all that wait, and again before it runs out.

    ``fetch`` blocks (it runs in a thread) and returns the token and the Unix time (s) at which it runs out.
    """

    def __init__(self) -> None:
        self._token: str | None = None
        self._until = 0.0
        self._bought = 0.0
        self._fetching: asyncio.Task[None] | None = None

    def fetch(self) -> tuple[str, float]:
        """Buy a token."""
        raise NotImplementedError

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The token. Waits only where there is none that holds."""
        left = self._until - time.time()
        if self._token is None or left < _FETCH_BEFORE_S:
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._renew())
                self._fetching.add_done_callback(_seen)
            if self._token is None or left < _WAIT_BEFORE_S:
                # A client that leaves does not end the fetching that others wait for.
                await asyncio.shield(self._fetching)
        return {"Authorization": f"Bearer {self._token}"}

    def refused(self, sent: Mapping[str, str]) -> bool:
        """The token is void. Where it has just been bought the next one is no better: what is wrong is the account."""
        if self._token is not None and sent.get("Authorization") == f"Bearer {self._token}":
            self._token = None
            return time.monotonic() - self._bought > _JUST_BOUGHT_S
        return True

    async def _renew(self) -> None:
        try:
            self._token, self._until = await asyncio.to_thread(self.fetch)
            self._bought = time.monotonic()
        except NoAccess:
            raise
        except Exception as error:  # noqa: BLE001 - libraries' errors may quote what they were given
            raise NoAccess(f"no token: {type(error).__name__}") from None


def _seen(task: asyncio.Task[None]) -> None:
    """Take note of a failure that nobody waited for; the next call tries again."""
    if not task.cancelled():
        task.exception()
