"""A tool's facts as the panel reads them, and the contradictions among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256


@dataclass(frozen=True)
class Conflict:
    """What disagrees with a fact; ``fact_id`` where the other side is on record."""

    statement: str
    fact_id: str | None = None


@dataclass(frozen=True)
class Fact:
    """One piece of evidence. ``statement`` is a stranger's text."""

    fact_id: str
    label: str
    statement: str
    kind: str
    topics: tuple[str, ...]
    source: str
    as_of: date
    content_hash: str
    conflicts_with: tuple[Conflict, ...] = ()

    @property
    def tags(self) -> frozenset[str]:
        """Kind and topics together: what personas and use cases weigh."""
        return frozenset((self.kind, *self.topics))

    @property
    def open_to_all(self) -> bool:
        """Whether anybody can read its source; a captured page or a listing is second hand."""
        return self.source.startswith(("https://", "http://"))


@dataclass(frozen=True)
class Dossier:
    """A version of a tool with its facts."""

    tool_id: str
    version: int
    slug: str
    name: str
    vendor: str
    category: str
    facts: tuple[Fact, ...]
    retired: bool = False

    def fact(self, fact_id: str) -> Fact | None:
        """The fact of that id, if it is on record."""
        return next((fact for fact in self.facts if fact.fact_id == fact_id), None)


@dataclass(frozen=True)
class Dispute:
    """Two sides of a contradiction; the other side may not be on record."""

    subject: str
    fact_id: str
    other_fact_id: str | None
    other_statement: str


def evidence_hash(facts: Iterable[Fact]) -> str:
    """SHA-256 (hex) over the hashes of the facts, in their order."""
    return sha256("\n".join(fact.content_hash for fact in facts).encode()).hexdigest()


def disputes(facts: Sequence[Fact], subjects: Mapping[str, str]) -> tuple[Dispute, ...]:
    """Every contradiction of the dossier once; ``subjects`` names kinds and topics as shown."""
    by_id = {fact.fact_id: fact for fact in facts}
    found: dict[tuple[str, str], Dispute] = {}
    for fact in facts:
        for conflict in fact.conflicts_with:
            other = by_id.get(conflict.fact_id) if conflict.fact_id else None
            pair = sorted((fact.fact_id, other.fact_id if other else conflict.statement))
            found.setdefault(
                (pair[0], pair[1]),
                Dispute(
                    subject=subjects.get(fact.kind, fact.kind.capitalize()),
                    fact_id=fact.fact_id,
                    other_fact_id=other.fact_id if other else None,
                    other_statement=other.statement if other else conflict.statement,
                ),
            )
    return tuple(found.values())


def contradicted(facts: Sequence[Fact]) -> dict[str, tuple[str, ...]]:
    """The facts that do not count because the record contradicts them, each with the facts that do so.

    A fact from a source that nobody else can open (a listing, a captured page) yields to one with a public source;
    between two of the same standing nobody picks one, and neither counts. Where the other side is not on record, a
    second-hand fact yields to it and one with a public source stands. The tuple is empty where the contradiction is
    not a fact of this dossier.
    """
    by_id = {fact.fact_id: fact for fact in facts}
    against: dict[str, list[str]] = {}
    for fact in facts:
        for conflict in fact.conflicts_with:
            other = by_id.get(conflict.fact_id) if conflict.fact_id else None
            if other is None:
                if not fact.open_to_all:
                    against.setdefault(fact.fact_id, [])
                continue
            if other.open_to_all >= fact.open_to_all:
                against.setdefault(fact.fact_id, []).append(other.fact_id)
            if fact.open_to_all >= other.open_to_all:
                against.setdefault(other.fact_id, []).append(fact.fact_id)
    return {fact_id: tuple(dict.fromkeys(others)) for fact_id, others in against.items()}
