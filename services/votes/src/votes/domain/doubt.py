"""Which votes are refused for now, and which are taken but held until an operator has looked.

Refusing (429) is for what no reader does by hand. Everything else that looks like stuffing is held: the voter's wish is
on record, the page says how many are held, and an operator releases or voids them.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Doubt(StrEnum):
    """Why a vote is held; published as the event's reason. Operators filter by it."""

    SPEED = "impossible speed"
    NETWORK = "burst from one network"
    SIGNAL = "burst from one kind of client"
    UNCHECKED = "not checked yet"
    """The counters could not be reached; a worker checks such votes from the record when it can."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is still a reader's. Networks are address prefixes: many people sit behind one."""

    voter_writes: int = 30
    """Writes of one voter in :attr:`rate_window`; more are refused."""
    network_writes: int = 600
    """Writes of one network in :attr:`rate_window`; more are refused."""
    rate_window: timedelta = timedelta(minutes=1)
    speed_writes: int = 8
    """Writes of one voter in :attr:`speed_window`; more are held: nobody reads tools that fast."""
    speed_window: timedelta = timedelta(seconds=10)
    network_voters: int = 20
    """Different voters of one network on one tool in :attr:`burst_window`; more are held."""
    network_voters_all: int = 100
    """Different voters of one network on any tools in :attr:`burst_window`; more are held."""
    signal_voters: int = 300
    """Different voters with one kind of client on one tool in :attr:`burst_window`; more are held."""
    burst_window: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the counters say, this vote included. Each counts within the window that :class:`Limits` names."""

    voter_writes: int = 1
    network_writes: int = 1
    speed_writes: int = 1
    network_voters: int = 1
    network_voters_all: int = 1
    signal_voters: int = 1
    rate_left: timedelta = timedelta(0)
    """How long the rate window still lasts."""


def retry_after(seen: Observation, limits: Limits) -> timedelta | None:
    """How long the voter has to wait, or ``None`` where the vote is taken."""
    if seen.voter_writes > limits.voter_writes or seen.network_writes > limits.network_writes:
        return max(seen.rate_left, timedelta(seconds=1))
    return None


def doubt(seen: Observation, limits: Limits) -> Doubt | None:
    """Why a vote is to be held, or ``None`` where it counts. The most telling reason comes first."""
    if seen.speed_writes > limits.speed_writes:
        return Doubt.SPEED
    if seen.network_voters > limits.network_voters or seen.network_voters_all > limits.network_voters_all:
        return Doubt.NETWORK
    if seen.signal_voters > limits.signal_voters:
        return Doubt.SIGNAL
    return None
