"""Several tools under one name: which sizes are listed, and what the vendor calls each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..store.tools import OnRecord


@dataclass(frozen=True)
class Member:
    """One tool of the family on the line. ``at`` and ``text_at`` are per cent of its width."""

    member: str
    vendor_calls_it: str
    unknown: bool
    at: float
    text_at: float
    anchor: str


@dataclass(frozen=True)
class FamilyFigure:
    """What is drawn; ``placed`` where every member is a size that has a place on a line."""

    name: str
    conflict: str
    members: tuple[Member, ...]
    placed: bool


def family_figure(records: Sequence[OnRecord]) -> FamilyFigure | None:
    """The family of these tools, where its name is in dispute and it has two members at least."""
    families = {one.tool.family.name: one.tool.family for one in records if one.tool.family}
    disputed = [family for family in families.values() if family.conflict]
    if not disputed:
        return None
    own = [one.tool.family for one in records if one.tool.family and one.tool.family.name == disputed[0].name]
    members = {family.member: family for family in own if family.member}
    if len(members) < 2:
        return None
    sizes = {member: _size(member) for member in members}
    placed = all(size is not None for size in sizes.values())
    top = 1.25 * max((size for size in sizes.values() if size), default=1.0)
    found: list[Member] = []
    for member, family in sorted(members.items(), key=lambda item: sizes[item[0]] or 0):
        at = 100 * (sizes[member] or 0) / top
        close = bool(found) and at - found[-1].at < 14
        if close:
            before = found[-1]
            found[-1] = Member(before.member, before.vendor_calls_it, before.unknown, before.at, before.at + 2.2, "end")
        found.append(
            Member(
                member=member,
                vendor_calls_it=family.vendor_calls_it,
                unknown=family.vendor_calls_it.startswith("no "),
                at=at,
                text_at=at - 1.8 if close else at,
                anchor="" if close else "mid",
            )
        )
    return FamilyFigure(disputed[0].name, disputed[0].conflict, tuple(found), placed)


def _size(member: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[BbMm]", member)
    return float(match[1]) if match else None
