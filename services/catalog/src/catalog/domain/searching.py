"""Finding a tool by what a reader types: names and aliases first, then vendor, category, tagline; then near misses."""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What can be found of a tool."""

    slug: str
    name: str
    vendor: str
    category: str
    tagline: str
    aliases: tuple[str, ...] = ()


def search(entries: Sequence[Entry], query: str) -> list[Entry]:
    """The tools that hold every word of the query, best first; near misses of names where none does."""
    words = _words(query)
    if not words:
        return []
    scored = [(_score(entry, words), entry) for entry in entries]
    found = [(score, entry) for score, entry in scored if score > 0]
    if found:
        return [entry for _, entry in sorted(found, key=lambda pair: (-pair[0], pair[1].name.lower()))]
    return suggest(entries, query)


def suggest(entries: Iterable[Entry], address: str, limit: int = 5) -> list[Entry]:
    """Tools whose name, slug or alias looks like ``address``, best first."""
    wanted = " ".join(_words(address.replace("-", " ")))
    scored = []
    for entry in entries:
        names = (entry.slug.replace("-", " "), entry.name, *entry.aliases)
        closeness = max(difflib.SequenceMatcher(None, wanted, " ".join(_words(name))).ratio() for name in names)
        if closeness >= 0.55:
            scored.append((closeness, entry))
    return [entry for _, entry in sorted(scored, key=lambda pair: (-pair[0], pair[1].name.lower()))][:limit]


def _score(entry: Entry, words: Sequence[str]) -> float:
    names = " ".join(_words(" ".join((entry.name, entry.slug.replace("-", " "), *entry.aliases))))
    rest = " ".join(_words(" ".join((entry.vendor, entry.category, entry.tagline))))
    total = 0.0
    for word in words:
        if word in names.split():
            total += 4
        elif word in names:
            total += 3
        elif word in rest:
            total += 1
        else:
            return 0
    return total


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.lower())
    kept = "".join(char if char.isalnum() else " " for char in plain if not unicodedata.combining(char))
    return kept.split()
