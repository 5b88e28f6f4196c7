"""How a simulated provider breaks. A prompt asks for it: `fault=NAME`, or `fault=NAME@PROVIDER` for one provider.

TLS breaks on listeners of its own (`tls.py`): a prompt comes too late to ask for that.
"""

import asyncio
import re
from enum import StrEnum


class Fault(StrEnum):
    """Every way to break. Those with `stream` in their text happen after the first event of a stream."""

    RATE_LIMIT = "429"
    RATE_LIMIT_RETRY_AFTER = "429-retry-after"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    HANG = "hang"
    """Takes the request and never answers."""
    RESET = "reset"
    """Closes the connection before a byte of the answer."""
    STALL = "stall"
    """stream: falls silent."""
    CUT = "cut"
    """stream: ends the connection in order, without [DONE]."""
    RESET_MID = "reset-mid"
    """stream: breaks the connection."""
    MALFORMED = "malformed"
    """stream: an event that is no JSON. Not streaming: a body that is none."""
    ERROR_EVENT = "error-event"
    """stream: an error inside the stream."""
    NO_FINISH = "no-finish"
    """stream: [DONE] without a finish_reason, as an engine ends that is being stopped."""
    NO_USAGE = "no-usage"
    """Answers in full and says nothing about usage."""
    WRONG_USAGE = "wrong-usage"
    """Reports a negative number of tokens."""
    FEWER_LOGPROBS = "fewer-logprobs"
    """Gives five log-probabilities, however many were asked for."""
    SLOW = "slow"
    """Drips: a tenth of a second between events."""
    LATE = "late"
    """Its first word comes after three seconds: late on any machine; the others come as usual."""


BEFORE = {
    Fault.RATE_LIMIT,
    Fault.RATE_LIMIT_RETRY_AFTER,
    Fault.SERVER_ERROR,
    Fault.UNAVAILABLE,
    Fault.HANG,
    Fault.RESET,
}
"""Before a byte of the answer."""
AMID = {Fault.STALL, Fault.CUT, Fault.RESET_MID, Fault.MALFORMED, Fault.ERROR_EVENT}
"""After the second event of a stream."""

_MARK = re.compile(r"fault=([a-z0-9-]+)(?:@([a-z]+))?")


def wanted(prompt: str, provider: str) -> Fault | None:
    """The fault that a prompt asks of this provider."""
    for name, only in _MARK.findall(prompt):
        if not only or only == provider:
            return Fault(name)
    return None


async def hold_back(fault: Fault | None, number: int) -> None:
    """Wait as a provider with this fault does before the ``number``-th word, from 1."""
    if fault is Fault.SLOW:
        await asyncio.sleep(0.1)
    if fault is Fault.LATE and number == 1:
        await asyncio.sleep(3)
