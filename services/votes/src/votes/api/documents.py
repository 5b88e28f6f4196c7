"""What readers send and get, as models: they are the OpenAPI document too."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..domain import Ballot, Entry, Head, share
from ..domain.chain import fields
from ..store.ballots import Standing


class Choice(BaseModel):
    """A vote to be cast."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["ship", "skip"] = Field(description="The voter's verdict.")
    version: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="`my_version` as the voter last saw it; another one now is a conflict (409). Left out: no matter.",
    )


class Bounds(BaseModel):
    """The 95 % Wilson interval of a share."""

    low: float = Field(description="Lower bound; lists rank by it.")
    high: float = Field(description="Upper bound.")


class Tally(BaseModel):
    """A tool's tally, as far as its log goes."""

    tool_id: str = Field(description="The tool.")
    version: int = Field(description="Length of the log that the tally adds up.")
    ship: int = Field(description="Counted votes to ship.")
    skip: int = Field(description="Counted votes to skip.")
    held: int = Field(description="Votes in quarantine; they do not count until an operator releases them.")
    share: float | None = Field(description="Ship over counted votes; null under ten votes.")
    interval: Bounds | None = Field(description="95 % Wilson interval of the share; null under ten votes.")
    head: str = Field(description="Hash (hex) of the newest entry of the log; 64 zeros for an empty one.")


class MyVote(BaseModel):
    """The reader's own vote."""

    vote: Literal["ship", "skip"] = Field(description="What the reader said.")
    version: int = Field(description="Version of the vote.")
    state: Literal["counted", "held", "voided"] = Field(description="Held votes wait for an operator.")


class View(Tally):
    """A tally with the reader's own vote, which is there at once; the tally follows within moments."""

    my_vote: MyVote | None = Field(description="The reader's vote; null where there is none or it was withdrawn.")
    my_version: int = Field(description="Version to send with the next change; 0 where the reader never voted.")


class LogEntry(BaseModel):
    """One entry of a log. Its hash is SHA-256 over the other fields as JSON (keys sorted, no white space, UTF-8)."""

    tool_id: str = Field(description="The tool.")
    sequence: int = Field(description="Counts from 1 without gaps.")
    time: str = Field(description="Minute (UTC) in which it was cast or decided on.")
    voter: str = Field(description="Pseudonym of the voter for this tool alone.")
    version: int = Field(description="Counts the changes of this voter's vote; the highest one counts.")
    vote: Literal["ship", "skip", "withdrawn"] = Field(description="What the voter says.")
    state: Literal["counted", "held", "voided"] = Field(description="Whether it counts.")
    reason: str | None = Field(description="Why it is held or voided, or how it was released.")
    previous: str = Field(description="Hash of the entry before; 64 zeros for the first.")
    hash: str = Field(description="Hash (hex) of this entry.")


class LogPage(BaseModel):
    """A page of a tool's log."""

    tool_id: str = Field(description="The tool.")
    length: int = Field(description="Length of the whole log.")
    head: str = Field(description="Hash of its newest entry.")
    entries: list[LogEntry] = Field(description="Entries in order.")
    next: int | None = Field(description="`after` of the next page; null at the end.")


def tally_of(tool_id: str, head: Head) -> dict[str, Any]:
    """The document :class:`Tally` of a tool."""
    shared = share(head.tally)
    return {
        "tool_id": tool_id,
        "version": head.length,
        "ship": head.tally.ship,
        "skip": head.tally.skip,
        "held": head.tally.held,
        "share": shared[0] if shared else None,
        "interval": {"low": shared[1][0], "high": shared[1][1]} if shared else None,
        "head": head.hash,
    }


def view_of(standing: Standing) -> dict[str, Any]:
    """The document :class:`View` of where a tool and a voter stand."""
    return tally_of(standing.tool_id, standing.head) | vote_of(standing.ballot)


def vote_of(ballot: Ballot | None) -> dict[str, Any]:
    """The part of :class:`View` that is the reader's own."""
    mine = ballot is not None and ballot.vote != "withdrawn"
    return {
        "my_vote": {"vote": ballot.vote, "version": ballot.version, "state": ballot.state} if ballot and mine else None,
        "my_version": ballot.version if ballot else 0,
    }


def entry_of(entry: Entry, shown: str) -> dict[str, Any]:
    """The document :class:`LogEntry` of an entry."""
    return fields(entry) | {"hash": shown}
