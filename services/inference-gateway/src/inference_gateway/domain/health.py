"""How a deployment has been doing, as one replica saw it: circuit breaker, cool-down, measured speed.

Time is an argument (seconds of a monotonic clock). Standard terms: closed, open, half-open; EWMA; TTFT.
"""

from collections import deque
from dataclasses import dataclass, field

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 15.0
MAX_OPEN_SECONDS = 120.0
_MOST_DOUBLINGS = 8
_WEIGHT = 0.2
RECENT = 64
ENOUGH = 20
"""Measurements that a 95th percentile is taken from, and the fewest that give one."""


@dataclass(slots=True)
class Health:
    """State of one deployment. ``ttft_s`` (streams), ``whole_s`` (answers in one piece) and ``tokens_per_s`` are moving
    averages, ``None`` before a measurement."""

    failures: int = 0
    opened: int = 0
    open_until: float = 0.0
    cooling_until: float = 0.0
    probing: bool = False
    in_flight: int = 0
    ttft_s: float | None = None
    whole_s: float | None = None
    tokens_per_s: float | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def latency_s(self, *, stream: bool) -> float | None:
        """What a client waits for: a stream's first token, else the whole answer."""
        return self.ttft_s if stream else self.whole_s

    def ttft_p95_s(self) -> float | None:
        """95th percentile of the latest TTFTs (nearest rank); ``None`` where too few were measured."""
        if len(self.recent) < ENOUGH:
            return None
        return sorted(self.recent)[-(-95 * len(self.recent) // 100) - 1]

    def refusal(self, now: float) -> str | None:
        """Why it should not be called now, or ``None``."""
        if now < self.cooling_until:
            return "cooling_down"
        if now < self.open_until or (self.opened and self.probing):
            return "circuit_open"
        return None

    def retry_in(self, now: float) -> float:
        """Seconds until it may be called again."""
        return max(0.0, self.cooling_until - now, self.open_until - now)

    def begin(self, now: float) -> None:
        """A call starts. After an open circuit this one is the probe, and others wait for its result."""
        self.in_flight += 1
        if self.opened and now >= self.open_until:
            self.probing = True

    def succeed(self, ttft_s: float | None, tokens_per_s: float | None = None, whole_s: float | None = None) -> None:
        """A call ended well: the circuit closes, and what was measured is averaged in."""
        self.in_flight -= 1
        self.failures = self.opened = 0
        self.probing = False
        if ttft_s is not None:
            self.recent.append(ttft_s)
        self.ttft_s = _average(self.ttft_s, ttft_s)
        self.whole_s = _average(self.whole_s, whole_s)
        self.tokens_per_s = _average(self.tokens_per_s, tokens_per_s)

    def fail(self, now: float) -> None:
        """A call failed by the provider's fault. Enough in a row, or a failed probe, opens the circuit."""
        self.in_flight -= 1
        self.failures += 1
        if self.probing or self.failures >= FAILURES_TO_OPEN:
            # A provider may be away for days: the exponent must not grow past what a float holds.
            self.open_until = now + min(MAX_OPEN_SECONDS, OPEN_SECONDS * 2.0 ** min(self.opened, _MOST_DOUBLINGS))
            self.opened += 1
            self.failures = 0
        self.probing = False

    def end(self, ttft_s: float | None = None) -> None:
        """A call ended and says nothing about the provider's state (the client's fault, or nobody waits any more).
        How soon it began still counts: leaving out those that lost a race would make a slow provider look fast."""
        self.in_flight -= 1
        self.probing = False
        if ttft_s is not None:
            self.recent.append(ttft_s)

    def cool(self, now: float, seconds: float) -> None:
        """The provider asked to be left alone (Retry-After)."""
        self.cooling_until = max(self.cooling_until, now + seconds)


def _average(before: float | None, measured: float | None) -> float | None:
    if measured is None:
        return before
    return measured if before is None else before + _WEIGHT * (measured - before)
