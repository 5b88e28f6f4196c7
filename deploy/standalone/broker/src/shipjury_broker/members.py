"""What a consumer group is made of: its members, the states it can be in, and the answer to a join."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Named as Kafka names them to its tools."""

    EMPTY = "Empty"
    JOINING = "PreparingRebalance"
    SYNCING = "CompletingRebalance"
    STABLE = "Stable"


@dataclass(frozen=True)
class Joined:
    """The answer to a join; `members` (id to metadata) is for the leader only."""

    generation: int
    protocol: str
    leader: str
    member_id: str
    members: dict[str, bytes]


@dataclass
class Member:
    """Timeouts in seconds; `protocols` are assignment strategies, the preferred one first, each with its metadata."""

    id: str
    client_id: str
    host: str
    session_timeout: float
    rebalance_timeout: float
    protocols: dict[str, bytes]
    assignment: bytes = b""
    joining: asyncio.Future[Joined] | None = None
    syncing: asyncio.Future[bytes] | None = None
    expiry: asyncio.TimerHandle | None = None


def shared_strategies(first: Member, others: list[Member]) -> list[str]:
    """The strategies that all members know, in the first one's order of preference."""
    return [name for name in first.protocols if all(name in other.protocols for other in others)]
