"""What goes into an issue of the digest, and in which order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["flip", "new_verdict", "panel_against_community", "most_contested", "comparison"]
ORDER: tuple[Kind, ...] = ("flip", "new_verdict", "comparison", "panel_against_community", "most_contested")

MINIMUM_VOTES = 10
GAP = 0.3
MOST = 3


@dataclass(frozen=True)
class Change:
    """A verdict or comparison that was issued since the last issue of the digest.

    ``previous`` is the verdict that it replaced, ``why`` the panel's explanation of the change.
    """

    id: int
    kind: Literal["verdict", "comparison"]
    tool_id: str | None
    slug: str
    name: str
    category: str
    verdict: str | None
    score: float | None
    previous: str | None
    why: str
    summary: str
    level: str
    issued_at: datetime
    traceparent: str | None = None


@dataclass(frozen=True)
class Standing:
    """Where a tool stands with panel and community. Shares are 0 to 1."""

    tool_id: str
    slug: str
    name: str
    category: str
    verdict: str | None
    panel_share: float | None
    ship: int
    skip: int

    @property
    def votes(self) -> int:
        return self.ship + self.skip

    @property
    def community_share(self) -> float | None:
        """Ship over all counted votes; ``None`` under the minimum."""
        return self.ship / self.votes if self.votes >= MINIMUM_VOTES else None


@dataclass(frozen=True)
class Item:
    """One entry of an issue."""

    kind: Kind
    slug: str
    title: str
    text: str
    tool_id: str | None = None
    category: str | None = None
    verdict: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Preferences:
    """What a subscriber wants to read about; empty means everything."""

    categories: frozenset[str] = field(default_factory=frozenset)
    tools: frozenset[str] = field(default_factory=frozenset)


def compose(changes: Sequence[Change], standings: Iterable[Standing]) -> tuple[Item, ...]:
    """The entries of an issue: what changed first, then where panel and community differ.

    Several changes of one tool become one entry that tells of the whole way. Without a change there is no entry at
    all: an issue in which nothing is new is not sent.
    """
    if not changes:
        return ()
    known = list(standings)
    items = [*_changed(changes), *_against_community(known), *_contested(known)]
    return tuple(sorted(items, key=lambda item: ORDER.index(item.kind)))


def for_reader(items: Sequence[Item], preferences: Preferences) -> tuple[Item, ...]:
    """The entries that a subscriber asked for."""
    if not preferences.categories and not preferences.tools:
        return tuple(items)
    return tuple(item for item in items if item.category in preferences.categories or item.tool_id in preferences.tools)


def is_flip(previous: str | None, verdict: str | None) -> bool:
    """Whether a verdict turned: there was one, and it says something else now."""
    return previous is not None and previous != verdict


def _changed(changes: Sequence[Change]) -> Iterable[Item]:
    by_subject: dict[str, list[Change]] = {}
    for change in sorted(changes, key=lambda change: change.id):
        by_subject.setdefault(f"{change.kind}:{change.tool_id or change.slug}", []).append(change)
    for way in by_subject.values():
        first, last = way[0], way[-1]
        if last.kind == "comparison":
            yield Item(kind="comparison", slug=last.slug, title=last.name, text=last.summary)
            continue
        if is_flip(first.previous, last.verdict):
            kind: Kind = "flip"
            text = f"Was {first.previous}, now {last.verdict}. {last.why}".strip()
        elif first.previous is None:
            kind, text = "new_verdict", last.summary
        else:
            kind, text = "new_verdict", f"{last.summary} {last.why}".strip()
        yield Item(
            kind=kind,
            slug=last.slug,
            title=last.name,
            text=text,
            tool_id=last.tool_id,
            category=last.category,
            verdict=last.verdict,
            score=last.score,
        )


def _against_community(standings: Sequence[Standing]) -> Iterable[Item]:
    apart = [
        (abs(standing.panel_share - share), standing, standing.panel_share, share)
        for standing in standings
        if standing.panel_share is not None and (share := standing.community_share) is not None
    ]
    for gap, standing, panel, community in sorted(apart, key=lambda entry: (-entry[0], entry[1].slug))[:MOST]:
        if gap < GAP:
            return
        yield Item(
            kind="panel_against_community",
            slug=standing.slug,
            title=standing.name,
            text=f"{panel:.0%} of the panel and {community:.0%} of {standing.votes} voters would ship it.",
            tool_id=standing.tool_id,
            category=standing.category,
            verdict=standing.verdict,
        )


def _contested(standings: Sequence[Standing]) -> Iterable[Item]:
    split = [
        (abs(share - 0.5), standing, share) for standing in standings if (share := standing.community_share) is not None
    ]
    for distance, standing, share in sorted(split, key=lambda entry: (entry[0], entry[1].slug))[:MOST]:
        if distance > 0.15:
            return
        yield Item(
            kind="most_contested",
            slug=standing.slug,
            title=standing.name,
            text=f"{standing.ship} of {standing.votes} voters would ship it ({share:.0%}).",
            tool_id=standing.tool_id,
            category=standing.category,
            verdict=standing.verdict,
        )
