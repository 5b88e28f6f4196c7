"""A runaway loop, told from an ordinary busy hour: a sequential test against the project's own daily rhythm. Pure.

Method. Spend, requests and repeated requests of a project on a model are summed in slots of 5 s. What a slot should
hold is learned: the mean of its quarter of an hour, for weekdays and weekends apart, times a level that follows the
last hours. Against that expectation runs Page's cumulative sum (E. S. Page, "Continuous Inspection Schemes", Biometrika
41, 1954) of the log-likelihood ratio of a count whose mean is a ``loop`` against one whose mean is as ``expected``
(J. M. Lucas, "Counted Data CUSUM's", Technometrics 27, 1985):

    score <- max(0, score + (x ln(loop / expected) - (loop - expected)) / dispersion)

What is expected and what a loop is at least, for each measure, stands in :mod:`.inspections`. The dispersion (variance
over mean, as in quasi-Poisson regression) makes sums of unequal, clustered requests behave like counts; it is the
larger of what windows of one minute show and half of what windows of ten show. For such a sum the mean time between
false alarms is at least e^threshold slots (G. Lorden, "Procedures for reacting to a change in distribution", Annals of
Mathematical Statistics 42, 1971): e^15 slots of 5 s are six months of one series, e^20 are 76 years, as far as the
model holds.

Three things protect it from what the model does not know: no slot adds more than a quarter of the threshold, so that
one large request, or the rows of an outage that come at once, are no loop; what is learned lags ten minutes and is cut
off at what a loop would hold, so that a loop does not become its own excuse; and below a floor, which is higher while a
series is young, nothing is an anomaly.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any, Literal

from .inspections import INSPECTIONS

SLOT_S = 5
"""Seconds that one slot sums."""
QUIET_MINUTES = 5
"""Minutes in a row that must be ordinary again before an anomaly is over."""

_SLOTS_A_MINUTE = 60 // SLOT_S
_LAG_MINUTES = 10
_BIN_S = 900
_BINS = 86_400 // _BIN_S
_DAY_WEIGHT = 0.3
_LEVEL_WEIGHT = 1 - exp(-log(2) / 60)  # a half-life of 60 minutes
_DISPERSION_WEIGHT = 1 / 1440  # a memory of about a day

Change = Literal["opened", "closed"]


@dataclass(slots=True)
class Series:
    """What is known of one project, model and measure. Amounts are per slot, in the measure's unit."""

    floor: float
    measure: str = "cost"
    """Which of :data:`.INSPECTIONS` it is held against."""
    season: list[float] = field(default_factory=lambda: [0.0] * (2 * _BINS))
    days: list[int] = field(default_factory=lambda: [0] * (2 * _BINS))
    last: int | None = None
    quarters: int = 0
    level_seen: float = 0.0
    level_due: float = 0.0
    spread: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    """Squares and means, in windows of one and of ten minutes: moving averages."""
    score: float = 0.0
    since: int | None = None
    """First slot of the present rise of the score: Page's estimate of when the change began."""
    risen: float = 0.0
    """Amount since then."""
    opened: int | None = None
    quiet: int = 0
    minute: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Amount, what a loop would hold, and mean of the minute under way."""
    ten: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Amount, mean and minutes of the ten minutes that are learned from."""
    quarter: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Amount and minutes of the quarter that is learned from."""
    waiting: deque[tuple[int, float, float, float]] = field(default_factory=deque)
    """Minutes that are not learned from yet: last slot, amount, what a loop would hold, mean."""

    def observe(self, slot: int, amount: float) -> Change | None:
        """Take a slot that is over; slots that were left out held nothing. Returns what changed with it."""
        if self.last is None:
            self.last = slot - 1
        change: Change | None = None
        while self.last + 1 < slot:
            change = self._step(self.last + 1, 0.0) or change
        return self._step(slot, amount) or change

    @property
    def expected_per_minute(self) -> float:
        """What the slot after the last one should hold, a minute."""
        return self._expected(self._mean((self.last or 0) + 1)) * _SLOTS_A_MINUTE

    @property
    def observed_per_minute(self) -> float:
        """What came since the score began to rise, a minute."""
        if self.since is None or self.last is None:
            return 0.0
        return self.risen / (self.last - self.since + 1) * _SLOTS_A_MINUTE

    @property
    def idle(self) -> bool:
        """Whether nothing is under way that slots of nothing would change soon."""
        calm = self.score == 0.0 and self.opened is None and self.minute[0] == 0.0
        return calm and not any(minute[1] for minute in self.waiting)

    def forgive(self) -> None:
        """Begin anew: what goes on is found again."""
        self.opened, self.since, self.risen, self.score, self.quiet = None, None, 0.0, 0.0, 0

    def _step(self, slot: int, amount: float) -> Change | None:
        mean = self._mean(slot)
        expected = self._expected(mean)
        loop = self._loop(expected)
        self.last = slot
        self.minute[0] += amount
        self.minute[1] += loop
        self.minute[2] += mean
        change = self._judge(slot, amount, expected, loop)
        if (slot + 1) % _SLOTS_A_MINUTE == 0:
            change = self._end_minute(slot) or change
        return change

    def _judge(self, slot: int, amount: float, expected: float, loop: float) -> Change | None:
        threshold = INSPECTIONS[self.measure].threshold
        gain = (amount * log(loop / expected) - (loop - expected)) / self._dispersion()
        self.score = min(2 * threshold, max(0.0, self.score + min(gain, threshold / 4)))
        if self.score == 0.0 and self.opened is None:
            self.since, self.risen = None, 0.0
            return None
        if self.since is None:
            self.since, self.risen = slot, 0.0
        self.risen += amount
        if self.opened is None and self.score >= threshold:
            self.opened, self.quiet = slot, 0
            return "opened"
        return None

    def _end_minute(self, slot: int) -> Change | None:
        amount, loop, mean = self.minute
        self.minute = [0.0, 0.0, 0.0]
        self.waiting.append((slot, amount, loop, mean))
        while len(self.waiting) > _LAG_MINUTES:
            self._learn(*self.waiting.popleft())
        if self.opened is None:
            return None
        expected = self._expected(mean / _SLOTS_A_MINUTE) * _SLOTS_A_MINUTE
        self.quiet = self.quiet + 1 if amount <= (loop - expected) / log(loop / expected) else 0
        if self.quiet < QUIET_MINUTES:
            return None
        self.forgive()
        return "closed"

    def _expected(self, mean: float) -> float:
        return max(mean, INSPECTIONS[self.measure].null * self._floor())

    def _loop(self, expected: float) -> float:
        told = INSPECTIONS[self.measure]
        return max(told.factor * expected, told.loop * self._floor())

    def _mean(self, slot: int) -> float:
        """Mean of a slot: the season between the middles of two quarters of an hour, times the level."""
        quarter, within = divmod(slot * SLOT_S - _BIN_S // 2, _BIN_S)
        before, after = self._season(quarter), self._season(quarter + 1)
        share = within / _BIN_S
        return (before + (after - before) * share) * self._level()

    def _season(self, quarter: int) -> float:
        index = _bin(quarter)
        if self.days[index]:
            return self.season[index]
        other = (index + _BINS) % (2 * _BINS)  # a weekend's quarter that was never seen is like a weekday's
        if self.days[other]:
            return self.season[other]
        return self.level_seen / _SLOTS_A_MINUTE  # the first day: as the last hour was

    def _level(self) -> float:
        """How busy the last hours were, against what their season says: 1 is as ever."""
        few = self._floor() * _SLOTS_A_MINUTE
        return min(3.0, max(0.5, (self.level_seen + few) / (self.level_due + few)))

    def _floor(self) -> float:
        return self.floor * INSPECTIONS[self.measure].higher(self.quarters)

    def _dispersion(self) -> float:
        """Variance over mean; at least what a fifth of the floor's minute, coming at once, would make.

        Half of what windows of ten minutes show, against what is expected of them: whole sessions of ordinary work lie
        in them, at less than a loop's rate.
        """
        one, mean_one, ten, mean_ten = self.spread
        least = self._floor() * _SLOTS_A_MINUTE / 5
        ten_expected = max(mean_ten, 10 * _SLOTS_A_MINUTE * self._expected(0.0))
        return max(least, one / mean_one if mean_one else 0.0, ten / ten_expected / 2)

    def _learn(self, slot: int, amount: float, loop: float, mean: float) -> None:
        """Learn from a minute that lies ten minutes back."""
        cut = min(amount, loop)
        due = self._season_of(slot) * _SLOTS_A_MINUTE
        self.level_seen += _LEVEL_WEIGHT * (cut - self.level_seen)
        self.level_due += _LEVEL_WEIGHT * (due - self.level_due)
        if self.opened is None:
            self._spread(0, amount, mean)
            self.ten = [self.ten[0] + amount, self.ten[1] + mean, self.ten[2] + 1]
            if self.ten[2] >= 10:
                self._spread(2, self.ten[0], self.ten[1])
                self.ten = [0.0, 0.0, 0.0]
        self.quarter = [self.quarter[0] + cut, self.quarter[1] + 1]
        if (slot + 1) * SLOT_S % _BIN_S == 0:
            self._end_quarter(slot)

    def _season_of(self, slot: int) -> float:
        return self._season(slot * SLOT_S // _BIN_S)

    def _spread(self, at: int, amount: float, mean: float) -> None:
        weight = _DISPERSION_WEIGHT * (1 if at == 0 else 10)
        self.spread[at] += weight * ((amount - mean) ** 2 - self.spread[at])
        self.spread[at + 1] += weight * (mean - self.spread[at + 1])

    def _end_quarter(self, slot: int) -> None:
        amount, minutes = self.quarter
        self.quarter = [0.0, 0.0]
        if minutes < 8:
            return
        index = _bin(slot * SLOT_S // _BIN_S)
        mean = amount / minutes / _SLOTS_A_MINUTE
        self.days[index] += 1
        self.season[index] += max(_DAY_WEIGHT, 1 / self.days[index]) * (mean - self.season[index])
        self.quarters += 1

    def encode(self) -> dict[str, Any]:
        """As JSON can hold it."""
        told: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return told | {"waiting": [list(minute) for minute in self.waiting]}

    @classmethod
    def decode(cls, told: dict[str, Any]) -> "Series":
        """The series that :meth:`encode` told."""
        waiting = deque((int(slot), amount, due, mean) for slot, amount, due, mean in told["waiting"])
        return cls(**told | {"waiting": waiting})


def _bin(quarter: int) -> int:
    """Place in the season, weekdays before weekends; ``quarter`` counts from the Unix epoch, a Thursday in UTC."""
    day, of_day = divmod(quarter, _BINS)
    return of_day + (_BINS if (day + 3) % 7 >= 5 else 0)


def worst(changed: Iterable[tuple[str, Series]]) -> str | None:
    """Which of the series that opened says most: by how many times its expectation it holds."""
    ranked: Sequence[tuple[str, Series]] = sorted(
        changed, key=lambda one: one[1].observed_per_minute / one[1].expected_per_minute, reverse=True
    )
    return ranked[0][0] if ranked else None
