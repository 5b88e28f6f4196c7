"""A tool and its dossier: what a file says (draft), and what is on record (labels, topics, hashes)."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

from .topics import topics_of

MAX_DOSSIER_BYTES = 256 * 1024
"""An event is at most 512 KiB; JSON of a dossier grows by hashes, labels and the envelope."""


class SlugClash(ValueError):
    """Two different tools want the same address."""


class UnknownTool(LookupError):
    """No tool has this address."""


class DossierTooLarge(ValueError):
    """All facts of a tool together do not fit into one event."""


@dataclass(frozen=True)
class Conflict:
    """What disagrees with a fact. ``here`` and ``there`` are the two sides in a word or two, for tables."""

    statement: str
    fact_id: str | None = None
    subject: str = ""
    here: str = ""
    there: str = ""


@dataclass(frozen=True)
class FactDraft:
    """A fact as a file states it. ``topics`` is ``None`` where the rules shall assign them."""

    fact_id: str
    statement: str
    kind: str
    source: str
    as_of: date
    topics: tuple[str, ...] | None = None
    conflicts_with: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class Fact:
    """A fact on record: ``label`` names it on pages, ``content_hash`` is SHA-256 (hex) over what it says."""

    fact_id: str
    label: str
    statement: str
    kind: str
    topics: tuple[str, ...]
    source: str
    as_of: date
    conflicts_with: tuple[Conflict, ...]
    content_hash: str


@dataclass(frozen=True)
class Pricing:
    """How a tool is paid for; ``facts`` are the facts that say so."""

    summary: str
    model: str = "unknown"
    free_entry: bool | None = None
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Licence:
    """A tool's licence in a few words, with the facts that say so."""

    summary: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """Tools that go by one name. ``member`` tells this one apart; ``conflict`` says what is disputed about the name."""

    name: str
    member: str = ""
    vendor_calls_it: str = ""
    conflict: str = ""


@dataclass(frozen=True)
class ToolDraft:
    """A tool as a file states it."""

    slug: str
    name: str
    vendor: str
    category: str
    tagline: str
    pricing: Pricing
    facts: tuple[FactDraft, ...]
    short_name: str = ""
    description: str = ""
    website: str | None = None
    licence: Licence | None = None
    best_for: str = ""
    released: str = ""
    aliases: tuple[str, ...] = ()
    family: Family | None = None
    compare_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A tool on record. Equal content hashes are equal tools, whatever file they came from."""

    slug: str
    name: str
    short_name: str
    vendor: str
    category: str
    tagline: str
    description: str
    website: str | None
    pricing: Pricing
    licence: Licence | None
    best_for: str
    released: str
    aliases: tuple[str, ...]
    family: Family | None
    facts: tuple[Fact, ...]
    compare_with: tuple[str, ...] = ()
    status: str = "published"

    @property
    def letter(self) -> str:
        """Initial of the tool's short name: its exhibit letter."""
        return letter_of(self.short_name)

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) over all that is on record about the tool."""
        return _sha256(asdict(self))

    def retired(self) -> "Tool":
        """The same tool, off the site."""
        return replace(self, status="retired")


def compose(draft: ToolDraft) -> Tool:
    """The tool on record that a draft describes: labels, topics and hashes are assigned here.

    Raises :class:`DossierTooLarge`.
    """
    short_name = draft.short_name or draft.name
    labels = _labels(letter_of(short_name), [fact.fact_id for fact in draft.facts])
    tool = Tool(
        slug=draft.slug,
        name=draft.name,
        short_name=short_name,
        vendor=draft.vendor,
        category=draft.category,
        tagline=draft.tagline,
        description=draft.description,
        website=draft.website,
        pricing=draft.pricing,
        licence=draft.licence,
        best_for=draft.best_for,
        released=draft.released,
        aliases=draft.aliases,
        family=draft.family,
        compare_with=draft.compare_with,
        facts=tuple(_on_record(fact, label) for fact, label in zip(draft.facts, labels, strict=True)),
    )
    size = len(json.dumps(asdict(tool), default=str, ensure_ascii=False).encode())
    if size > MAX_DOSSIER_BYTES:
        raise DossierTooLarge(
            f"{draft.slug}: the whole record has {size:,} bytes, at most {MAX_DOSSIER_BYTES:,} are allowed; "
            "shorten statements or leave out weak facts"
        )
    return tool


def letter_of(name: str) -> str:
    """The first letter or digit of a name, as a capital without accents; ``X`` where there is none."""
    for char in unicodedata.normalize("NFKD", name):
        if char.isalnum():
            return char.upper()[0]
    return "X"


def address_of(name: str) -> str:
    """A name as it would stand in an address: ``"Mistral Small (22B)"`` becomes ``"mistral-small-22b"``."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _labels(letter: str, fact_ids: Sequence[str]) -> list[str]:
    """``H09`` for ``...-hub-09``; facts whose ids give no number of their own are counted by their place."""
    numbers = [_trailing_number(fact_id) for fact_id in fact_ids]
    taken = Counter(number for number in numbers if number is not None)
    if None in numbers or any(count > 1 for count in taken.values()):
        numbers = list(range(1, len(fact_ids) + 1))
    return [f"{letter}{number:02}" for number in numbers]


def _trailing_number(fact_id: str) -> int | None:
    match = re.search(r"-(\d{1,4})$", fact_id)
    return int(match[1]) if match else None


def _on_record(fact: FactDraft, label: str) -> Fact:
    said = [
        fact.statement,
        fact.kind,
        fact.source,
        fact.as_of.isoformat(),
        [[conflict.statement, conflict.fact_id] for conflict in fact.conflicts_with],
    ]
    return Fact(
        fact_id=fact.fact_id,
        label=label,
        statement=fact.statement,
        kind=fact.kind,
        topics=_in_order(topics_of(fact.kind, fact.statement) if fact.topics is None else fact.topics),
        source=fact.source,
        as_of=fact.as_of,
        conflicts_with=fact.conflicts_with,
        content_hash=_sha256(said),
    )


def _in_order(topics: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(topics))


def _sha256(content: object) -> str:
    canonical = json.dumps(content, default=str, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
