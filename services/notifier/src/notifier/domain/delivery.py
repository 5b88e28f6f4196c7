"""The states of one mail to one subscriber, and what a mail server's answer means.

``pending -> claimed -> accepted``; a temporary refusal defers, a final one fails. A crash before the hand-over puts
the row back; a crash between hand-over and record leaves it *uncertain*: the only way in which a mail may come twice.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["pending", "claimed", "accepted", "deferred", "failed", "uncertain", "skipped"]

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=4)
GIVE_UP_AFTER = timedelta(days=3)


@dataclass(frozen=True)
class Accepted:
    """The server took the mail."""


@dataclass(frozen=True)
class Deferred:
    """Not now: a 4xx answer, or the server was away before the mail was handed over."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """Never: a 5xx answer about this recipient; ``suppress`` says that the address is dead."""

    reason: str
    suppress: bool


@dataclass(frozen=True)
class Unknown:
    """The mail was handed over and the answer was not seen."""

    reason: str


Outcome = Accepted | Deferred | Refused | Unknown


def pause_after(attempt: int) -> timedelta:
    """Back-off before the next attempt; ``attempt`` counts from 1. Doubles up to four hours."""
    doublings = max(attempt - 1, 0)
    return LONGEST_PAUSE if doublings > 10 else min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE)


def gives_up(created_at: datetime, now: datetime) -> bool:
    """Whether a mail has been deferred for too long to be of use."""
    return now - created_at > GIVE_UP_AFTER


def outcome_of_reply(code: int, text: str, *, about_recipient: bool) -> Outcome:
    """What a reply to RCPT or DATA means (RFC 5321, 4.2.1).

    A 5xx about the recipient suppresses the address; any other 5xx (our sender, our configuration, the content) says
    nothing about the address: the mail waits for an operator.
    """
    reason = f"{code} {text}"[:500]
    if 200 <= code < 300:
        return Accepted()
    if 500 <= code < 600 and about_recipient:
        return Refused(reason, suppress=True)
    return Deferred(reason)
