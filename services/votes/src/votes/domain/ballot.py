"""One voter's current vote on one tool, and every way in which it may change.

A change makes a new version, one higher; a request that changes nothing keeps the version. A withdrawn vote stays on
record with its version, so that an older request that arrives late can't bring it back.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ship", "skip"]
Vote = Literal["ship", "skip", "withdrawn"]
State = Literal["counted", "held", "voided"]

VOIDED_BEFORE = "voided before"


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote on record. ``version`` counts its changes from 1; ``reason`` says why it is held, voided or released."""

    vote: Vote
    state: State
    reason: str | None
    version: int


class StaleVersion(Exception):
    """The voter decided on a state that is no longer current. Show ``current`` and let the voter decide again."""

    def __init__(self, current: Ballot | None) -> None:
        super().__init__(f"the vote is at version {current.version if current else 0}")
        self.current = current


class NothingToDecide(Exception):
    """The vote is not in a state that the operator's act applies to; nothing was changed."""


def cast(current: Ballot | None, vote: Vote, expected: int | None = None, doubt: str | None = None) -> Ballot | None:
    """The ballot after a voter's request; ``current`` itself where nothing changes.

    ``expected`` is the version that the voter saw (0: none yet); ``None`` means "whatever is there". ``doubt`` is the
    reason to hold the vote, if there is one. A repeat of the very request that made the current version is no
    conflict: its first answer may have been lost. Raises :class:`StaleVersion`.
    """
    version = current.version if current else 0
    if expected is not None and expected != version:
        if current is not None and expected == version - 1 and current.vote == vote:
            return current
        raise StaleVersion(current)
    if current is None:
        return None if vote == "withdrawn" else Ballot(vote, "held" if doubt else "counted", doubt, 1)
    if current.vote == vote:
        return current
    if vote == "withdrawn":
        return Ballot(vote, current.state, current.reason, version + 1)
    if current.state == "voided":
        return Ballot(vote, "held", VOIDED_BEFORE, version + 1)
    if current.state == "held":
        # Neither a second vote nor withdrawing and voting again leads out of quarantine.
        return Ballot(vote, "held", current.reason or doubt, version + 1)
    return Ballot(vote, "held" if doubt else "counted", doubt, version + 1)


def hold(current: Ballot, reason: str) -> Ballot:
    """A counted vote goes into quarantine, or a held one gets another reason. Raises :class:`NothingToDecide`."""
    if current.state == "voided" or (current.state == "held" and current.reason == reason):
        raise NothingToDecide(f"the vote is {current.state} already")
    return Ballot(current.vote, "held", reason, current.version + 1)


def release(current: Ballot, reason: str) -> Ballot:
    """A held or voided vote counts from now on. Raises :class:`NothingToDecide` for one that counts already."""
    if current.state == "counted":
        raise NothingToDecide("the vote counts already")
    return Ballot(current.vote, "counted", reason, current.version + 1)


def void(current: Ballot, reason: str) -> Ballot:
    """A vote counts no more, whatever it was before. Raises :class:`NothingToDecide` for a voided one."""
    if current.state == "voided":
        raise NothingToDecide("the vote is voided already")
    return Ballot(current.vote, "voided", reason, current.version + 1)
