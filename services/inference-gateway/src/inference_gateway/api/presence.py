"""Whether the client is still there, watched beside the work for it."""

import asyncio
from collections.abc import Callable
from typing import Any


class Presence:
    """Watches one client; what works for it says what its going means (:meth:`when_gone`)."""

    def __init__(self, receive: Any) -> None:
        self.gone = False
        self._receive = receive
        self._told: list[Callable[[], None]] = []
        self._watch = asyncio.ensure_future(self._wait())

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` once the client has gone; at once where it has."""
        if self.gone:
            tell()
        else:
            self._told.append(tell)

    async def stays(self, seconds: float) -> bool:
        """Wait; returns whether the client is still there, and sooner where it is not."""
        await asyncio.wait((self._watch,), timeout=seconds)
        return not self.gone

    def end(self) -> None:
        """Stop watching."""
        self._watch.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        for tell in self._told:
            tell()
