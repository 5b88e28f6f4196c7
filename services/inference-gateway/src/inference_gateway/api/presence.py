"""Whether the client is still there, watched beside the work for it."""

import asyncio
from typing import Any


class Presence:
    """Whether the client is still there, watched beside the work for it.

    ``interruptible`` is set while waiting for a provider that stops billing when it is cut off: then the client's
    going cancels the wait. Otherwise the work goes on within ``drain_s``.
    """

    def __init__(self, receive: Any, drain_s: float) -> None:
        self.gone = False
        self.interruptible = False
        self._drain_s = drain_s
        self._receive = receive
        self._work = asyncio.current_task()
        self._cancelled = False
        self._deadline: asyncio.Timeout | None = None
        self._watch = asyncio.ensure_future(self._wait())

    def under(self, deadline: asyncio.Timeout | None) -> None:
        """The deadline that is pulled in when the client goes."""
        self._deadline = deadline

    def caused(self) -> bool:
        """Whether the cancellation in hand is the client's going; then it is taken back."""
        if not self._cancelled:
            return False
        self._cancelled = False
        if self._work is not None:
            self._work.uncancel()
        return True

    async def absorb(self) -> None:
        """Take back a cancellation that has been asked for and not delivered yet: what follows must not be cut."""
        self.interruptible = False
        if self._cancelled:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                if not self.caused():
                    raise

    def end(self) -> None:
        """Stop watching."""
        self._watch.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self.interruptible and self._work is not None:
            self._cancelled = True
            self._work.cancel()
        elif self._deadline is not None:
            loop = asyncio.get_running_loop()
            when = self._deadline.when()
            limit = loop.time() + self._drain_s
            if not self._deadline.expired():
                self._deadline.reschedule(limit if when is None else min(when, limit))
