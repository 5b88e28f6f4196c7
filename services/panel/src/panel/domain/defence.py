"""The defence: what is no evidence is set aside before any model reads it, by rules that anybody can read.

Hype and planted orders are known attacks on every judge, and a small model falls for both. The rules look at a folded
form of the text (compatibility forms, invisible characters, look-alike letters, spelled-out words), so that a trick of
writing does not hide an order. A rule that is unsure lets the fact through: setting aside real evidence is an attack
too.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .dossier import Fact
from .rules import EMPTY_NUMBERS, EMPTY_WORDS, FILLERS, HYPE, MARKUP, ORDERS

Reason = Literal["order", "hype", "filler", "markup", "too_long"]

LONGEST = 400
"""Characters; the catalog writes at most 160, and a longer text is no single fact."""


@dataclass(frozen=True)
class SetAside:
    """A fact that no model is shown, and the rule that matched, in words."""

    fact_id: str
    reason: Reason
    explanation: str


@dataclass(frozen=True)
class Defended:
    """The facts that may be read, and those that were set aside."""

    readable: tuple[Fact, ...]
    set_aside: tuple[SetAside, ...]


def defend(facts: Iterable[Fact]) -> Defended:
    """Part a dossier into what may be read and what is set aside."""
    readable: list[Fact] = []
    aside: list[SetAside] = []
    for fact in facts:
        found = examine(fact.statement)
        if found is None:
            readable.append(fact)
        else:
            aside.append(SetAside(fact.fact_id, *found))
    return Defended(tuple(readable), tuple(aside))


def examine(statement: str) -> tuple[Reason, str] | None:
    """Why a statement is set aside, and by which rule; ``None`` where it may be read."""
    if len(statement) > LONGEST:
        return "too_long", f"longer than {LONGEST} characters: no single fact"
    text = fold(statement)
    for pattern, rule in MARKUP:
        if pattern.search(text):
            return "markup", rule
    # Orders are looked for with and without punctuation: "ig.nore" and "ignore" are one word to a reader.
    forms = (text, " ".join(re.sub(r"[^\w\s]|_", " ", text).split()), _joined(text))
    for pattern, rule in ORDERS:
        if any(pattern.search(form) for form in forms):
            return "order", rule
    return _hype(text) or _filler(text)


# Letters of other scripts that look like Latin ones; enough for the tricks that are seen, not all of Unicode.
_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕԁһӏкмнтвгɡαοερνυικτχ∣ǀⅼ",
    "aeopcyxijsdhlkmhtbrgaoepvuiktxlll",
)


def fold(statement: str) -> str:
    """The statement in one plain form: NFKC, no invisible characters or accents, look-alikes as Latin, lower case."""
    plain = unicodedata.normalize("NFKC", statement).casefold()
    seen = "".join(
        " " if unicodedata.category(character) in {"Zs", "Zl", "Zp", "Cc"} else character
        for character in plain
        if unicodedata.category(character) not in {"Cf", "Co", "Cs", "Cn"}
    )
    bare = "".join(c for c in unicodedata.normalize("NFKD", seen) if not unicodedata.combining(c))
    return " ".join(bare.translate(_LOOK_ALIKES).split())


def _joined(text: str) -> str:
    """The text with words that are spelled letter by letter put together: "i g n o r e" and "i-g-n-o-r-e"."""
    spelled = re.sub(r"\b(?:\w[\s.\-_*]){3,}\w\b", lambda match: re.sub(r"[\s.\-_*]", "", match[0]), text)
    return re.sub(r"(?<=\w)[.\-_*](?=\w)", "", spelled)


def _content(text: str) -> list[str]:
    """The words that say something about the tool."""
    return [word for word in re.findall(r"[^\W\d_][\w'’+.#-]*", text) if word.strip(".'’-") not in EMPTY_WORDS]


def _figures(text: str) -> bool:
    """Whether a number says something."""
    return bool(re.search(r"\d", EMPTY_NUMBERS.sub(" ", text)))


def _hype(text: str) -> tuple[Reason, str] | None:
    praise = [match[0] for match in HYPE.finditer(text)]
    if not praise or _figures(text):
        return None
    rest = _content(HYPE.sub(" ", text))
    shouted = len(praise) >= 2 and len(rest) <= 3
    if len(rest) <= 1 or shouted:
        return "hype", f"praise without content: “{praise[0]}”"
    return None


def _filler(text: str) -> tuple[Reason, str] | None:
    for pattern, rule in FILLERS:
        if pattern.search(text):
            return "filler", rule
    words = re.findall(r"[^\W_]+", text)
    letters = sum(character.isalpha() for character in text)
    if len(words) < 2 or letters < 6:
        return "filler", "too short to say anything"
    if letters < 0.4 * len(text.replace(" ", "")):
        return "filler", "signs and figures without words"
    if len(words) >= 6 and len(set(words)) <= len(words) // 3:
        return "filler", "the same words over and over"
    latin = [word for word in words if len(word) >= 4 and word.isascii() and word.isalpha()]
    mashed = [word for word in latin if not re.search(r"[aeiouy]", word) or re.search(r"[^aeiouy]{6,}", word)]
    if len(latin) >= 4 and len(mashed) * 2 >= len(latin):
        return "filler", "letters that make no words"
    if not _figures(text) and not _content(text):
        return "filler", "no word that says anything about the tool"
    return None
