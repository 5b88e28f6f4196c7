"""Whether the client is still there, watched beside the work for it."""

import asyncio
from collections.abc import Callable
from typing import Any

_BEGIN_S = 0.02
"""When a watch begins: an answer that comes sooner needs none, and who has gone by then is seen at once."""


class Presence:
    """Watches one client; what works for it says what its going means (:meth:`when_gone`)."""

    def __init__(self, receive: Any) -> None:
        self.gone = False
        self._receive = receive
        self._told: list[Callable[[], None]] = []
        self._watch: asyncio.Task[None] | None = None
        self._begins = asyncio.get_running_loop().call_later(_BEGIN_S, self._begin)

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` once the client has gone; at once where it has."""
        if self.gone:
            tell()
        else:
            self._told.append(tell)

    async def stays(self, seconds: float) -> bool:
        """Wait; returns whether the client is still there, and sooner where it is not."""
        await asyncio.wait((self._begin(),), timeout=seconds)
        return not self.gone

    def end(self) -> None:
        """Stop watching."""
        self._begins.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _begin(self) -> asyncio.Task[None]:
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._wait())
        return self._watch

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        for tell in self._told:
            tell()
