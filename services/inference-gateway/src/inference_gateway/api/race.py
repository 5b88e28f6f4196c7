"""Two attempts of one request at once (hedging): whose answer begins first wins, the other is abandoned.

A hedge costs: the slower answer is paid for too. So it reserves like any attempt, only a share of streams may have one,
and it begins only once the first provider has been slower than 19 of 20 of its latest answers.
"""

import asyncio

from .attempt import Attempt

_MOST = 10.0


class Race:
    """The attempts of one request that run at once."""

    def __init__(self) -> None:
        self.winner: Attempt | None = None
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.attempts: list[Attempt] = []

    def enter(self, attempt: Attempt) -> None:
        """An attempt is about to be made."""
        attempt.on_begin = self._won
        self.attempts.append(attempt)

    def _won(self, winner: Attempt) -> None:
        self.winner = winner
        for other in self.attempts:
            if other is not winner:
                other.abandon("hedge_lost")
        if not self.begun.done():
            self.begun.set_result(None)


class Allowance:
    """How many hedges may begin: a share of the streams, and never more than a few at a time (a token bucket)."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._saved = 1.0

    def earn(self) -> None:
        """A stream began."""
        self._saved = min(_MOST, self._saved + self.share)

    def take(self) -> bool:
        """Whether one more may begin now; if so, it is counted."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
