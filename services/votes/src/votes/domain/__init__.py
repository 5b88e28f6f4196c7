"""What a vote is and how it counts, in pure functions: the standard library only, and time is an argument.

``ballot`` is one voter's current vote on one tool and how it changes; ``tally`` is what all votes on a tool add up to;
``chain`` is the log that anyone can recount; ``doubt`` says which votes go into quarantine; ``network`` turns an
address into a prefix that may be hashed; ``identity`` makes the names that are stored.
"""

from .ballot import Ballot, NothingToDecide, StaleVersion, Verdict, Vote, cast, hold, release, void
from .chain import GENESIS, BrokenChain, Entry, canonical, digest, verify
from .doubt import Doubt, Limits, Observation, doubt, retry_after
from .identity import daily_hash, pseudonym
from .network import client_address, network_prefix
from .tally import MINIMUM_VOTES, Cast, Folded, Folding, Head, Tally, fold, recount, share, wilson

__all__ = [
    "GENESIS",
    "MINIMUM_VOTES",
    "Ballot",
    "BrokenChain",
    "Cast",
    "Doubt",
    "Entry",
    "Folded",
    "Folding",
    "Head",
    "Limits",
    "NothingToDecide",
    "Observation",
    "StaleVersion",
    "Tally",
    "Verdict",
    "Vote",
    "canonical",
    "cast",
    "client_address",
    "daily_hash",
    "digest",
    "doubt",
    "fold",
    "hold",
    "network_prefix",
    "pseudonym",
    "recount",
    "release",
    "retry_after",
    "share",
    "verify",
    "void",
    "wilson",
]
