"""Votes and tallies."""

from typing import Any

from ..tally_changed.v1 import TallyChanged
from ..verdict_issued.v1 import (
    Interval,
)
from ..vote_cast.v1 import VoteCast
from .fixed import HASH, NOON, TOOL_ID


def vote_cast(**changes: Any) -> VoteCast:
    """A first vote to ship."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "tool_id": TOOL_ID,
        "voter": "v-0001",
        "vote": "ship",
        "state": "counted",
        "cast_at": NOON,
    }
    return VoteCast(**(fields | changes))


def tally_changed(**changes: Any) -> TallyChanged:
    """41 of 58 to ship, three held."""
    fields: dict[str, Any] = {
        "aggregate_version": 61,
        "tool_id": TOOL_ID,
        "ship": 41,
        "skip": 17,
        "held": 3,
        "share": 41 / 58,
        "interval": Interval(low=0.58, high=0.81),
        "head": HASH,
        "changed_at": NOON,
    }
    return TallyChanged(**(fields | changes))
