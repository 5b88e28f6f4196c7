"""Numbers and dates as the pages write them."""

from collections.abc import Sequence
from datetime import date, datetime
from urllib.parse import urlsplit

VERDICTS = {"ship": "Ship", "skip": "Skip", "undecided": "Undecided", "abstain": "Abstain"}
MARKS = {"ship": "ship", "skip": "skip", "undecided": "und", "abstain": "abs"}
KINDS = {
    "capability": "Capability",
    "maturity": "Maturity",
    "limit": "Limit",
    "ecosystem": "Ecosystem",
    "price": "Price",
    "performance": "Performance",
    "licence": "Licence",
    "privacy": "Privacy",
    "company": "Company",
}
PRICING = {
    "free": "free software",
    "freemium": "free tier, paid above",
    "open-weights": "open weights",
    "usage": "paid by use",
    "subscription": "subscription",
    "paid": "paid",
    "unknown": "pricing unknown",
}
ORDINALS = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def points(score: float) -> str:
    """A score or a difference without decimals."""
    return f"{score:.0f}".replace("-0", "0") if round(score) == 0 else f"{score:.0f}".replace("-", "−")


def counted(number: float, word: str) -> str:
    """``1 point``, ``11 points``."""
    text = points(number)
    return f"{text} {word}" if text == "1" else f"{text} {word}s"


def percent(share: float) -> str:
    """A share of 0-1 in per cent."""
    return f"{100 * share:.0f}"


def probability(value: float) -> str:
    """``.91``, as statisticians write what cannot exceed 1."""
    text = f"{abs(value):.2f}"
    return ("−" if value <= -0.005 else "") + (text if text.startswith("1") else text[1:])


def at(value: float) -> str:
    """A position on an axis of 0-100, in per cent of its width, kept on the axis."""
    return f"{min(100.0, max(0.0, value)):.4g}%"


def day(when: date | datetime) -> str:
    """``20 Nov 2026``."""
    return f"{when.day} {when:%b %Y}"


def short_day(when: date | datetime) -> str:
    """``20 Nov``."""
    return f"{when.day} {when:%b}"


def days(first: date, last: date) -> str:
    """``10 Aug to 20 Nov 2026``."""
    if first == last:
        return day(last)
    return f"{short_day(first) if first.year == last.year else day(first)} to {day(last)}"


def ordinal(number: int) -> str:
    """``third``; digits past the tenth."""
    return ORDINALS[number] if 0 < number < len(ORDINALS) else f"{number}th"


def joined(words: Sequence[str], last: str = "and") -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def is_web(source: str) -> bool:
    """Whether a source is an address that a link may lead to."""
    return source.startswith(("https://", "http://"))


def source_name(source: str) -> str:
    """An address without what a reader does not need; a captured page by its title."""
    if not is_web(source):
        return f"“{source.removeprefix('captured comparison page: ')}”"
    parts = urlsplit(source)
    host = (parts.hostname or "").removeprefix("www.")
    path = [part for part in parts.path.split("/") if part]
    if host in ("github.com", "raw.githubusercontent.com") and len(path) > 3:
        return f"{path[0]}/{path[1]}/…/{path[-1]}" if len(path) > 5 else "/".join((*path[:2], path[-1]))
    if host == "huggingface.co" and len(path) > 2:
        return f"{path[0]}/{path[1]}/{path[-1]}"
    return "/".join((host, *(path if len(path) < 3 else (path[0], "…", path[-1]))))


def source_kind(source: str, names: Sequence[str]) -> str:
    """Whose page it is: a capture, the vendor's own, or somebody else's. ``names`` are the vendor's and the tool's.

    The vendor's own means that a host, or the owner of a repository, bears one of the names; it is a hint for
    readers, and the address stands beside it.
    """
    if not is_web(source):
        return "Captured listing" if source.startswith("captured") else "Record"
    parts = urlsplit(source)
    host = (parts.hostname or "").lower()
    path = [part.lower() for part in parts.path.split("/") if part]
    code = host in ("github.com", "raw.githubusercontent.com", "huggingface.co")
    owner = path[0] if path and code else host
    if host == "github.com" and owner == "features":
        owner = "github"
    if host == "huggingface.co" and owner == "docs":
        owner = "huggingface"
    bare = "".join(char for char in owner if char.isalnum())
    for name in names:
        for word in (name.lower(), *name.lower().replace("(", " ").replace(")", " ").split()):
            word_bare = "".join(char for char in word if char.isalnum())
            if len(word_bare) >= 4 and word_bare in bare:
                return "Vendor’s own page"
    return "Third party"
