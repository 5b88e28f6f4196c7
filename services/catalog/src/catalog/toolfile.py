"""The catalog's own file format: one YAML (or JSON) document a tool, checked to the line and the field.

A file is written by people, or by programs that people point at us: everything in it is untrusted text. Unknown
fields, duplicate keys and YAML aliases are refused, every size is bounded, and text stays text (markup in it is
shown as it was written; nothing is stripped).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from shipjury_schemas.tool_published.v1 import FactKind

from . import domain
from .domain.topics import TOPICS

MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_FACTS = 300
MAX_DEPTH = 12
_FORBIDDEN = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0xFEFF)}


@dataclass(frozen=True)
class FieldError:
    """What is wrong at one place of a file. ``line`` counts from 1; 0 where no line can be named."""

    line: int
    field: str
    message: str


class BadToolFile(ValueError):
    """A tool file cannot be taken as it is; ``errors`` says where and why."""

    def __init__(self, file: str, errors: Sequence[FieldError]) -> None:
        self.file = file
        self.errors = tuple(errors)
        super().__init__("\n".join(f"{file}:{error.line}: {error.field}: {error.message}" for error in self.errors))


def _plain(text: str) -> str:
    """One line of visible text: control characters and marks that reorder what a reader sees are refused."""
    for char in text:
        if char in _FORBIDDEN or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(f"contains the character U+{ord(char):04X}, which is not allowed in one line of text")
    return text


def _web(address: str) -> str:
    _plain(address)
    try:
        parts = urlsplit(address)
        bad = parts.scheme not in ("http", "https") or not parts.hostname or any(char.isspace() for char in address)
    except ValueError:
        bad = True
    if bad:
        raise ValueError("must be a public address that begins with https:// or http://")
    return address


def _source(text: str) -> str:
    return _web(text) if text.lower().startswith(("http:", "https:", "javascript:", "data:")) else _plain(text)


def _known(topic: str) -> str:
    if topic not in TOPICS:
        raise ValueError(f"is no topic of the catalog; the topics are {', '.join(TOPICS)}")
    return topic


def _day(value: Any) -> Any:
    """JSON has no dates: there a day is its ISO text."""
    return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else value


def _text(longest: int, *, shortest: int = 1) -> Any:
    bounds = StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)
    return Annotated[str, bounds, AfterValidator(_plain)]


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
FactId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=100)]
Address = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_web)]
Source = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(_source)
]
TopicName = Annotated[str, AfterValidator(_known)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ConflictPart(_Part):
    """What disagrees with a fact."""

    statement: _text(500) = Field(description="What the other side says.")  # type: ignore[valid-type]
    fact: FactId | None = Field(default=None, description="Fact of this file that says so, where it is on record.")
    subject: _text(80, shortest=0) = Field(default="", description="What is in dispute, such as `Licence`.")  # type: ignore[valid-type]
    here: _text(80, shortest=0) = Field(default="", description="This side in a word or two.")  # type: ignore[valid-type]
    there: _text(80, shortest=0) = Field(default="", description="The other side in a word or two.")  # type: ignore[valid-type]


class FactPart(_Part):
    """One piece of evidence."""

    id: FactId = Field(description="Stays the same over versions, such as `litellm-11`.")
    statement: _text(500) = Field(description="The fact in one sentence, in own words.")  # type: ignore[valid-type]
    kind: FactKind = Field(description="What the fact is about.")
    source: Source = Field(description="Public address, or the title of a captured page.")
    as_of: Annotated[date, BeforeValidator(_day)] = Field(description="Day of the page or snapshot.")
    topics: Annotated[list[TopicName], Field(max_length=len(TOPICS))] | None = Field(
        default=None, description="Subjects; left out, the rule table assigns them."
    )
    conflicts_with: list[ConflictPart] = Field(default=[], max_length=10, description="What disagrees with it.")


class PricingPart(_Part):
    """How the tool is paid for."""

    summary: _text(300) = Field(description="Pricing in one sentence.")  # type: ignore[valid-type]
    model: Literal["free", "freemium", "open-weights", "usage", "subscription", "paid", "unknown"] = Field(
        default="unknown", description="Kind of pricing."
    )
    free_entry: bool | None = Field(default=None, description="Whether one can begin without paying.")
    facts: list[FactId] = Field(default=[], max_length=10, description="Facts that say so.")


class LicencePart(_Part):
    """The licence in a few words."""

    summary: _text(200) = Field(description="Such as `MIT outside the ee folders`.")  # type: ignore[valid-type]
    facts: list[FactId] = Field(default=[], max_length=10, description="Facts that say so.")


class FamilyPart(_Part):
    """Tools that go by one name."""

    name: _text(120) = Field(description="The shared name.")  # type: ignore[valid-type]
    member: _text(40, shortest=0) = Field(default="", description="What tells this one apart, such as `22B`.")  # type: ignore[valid-type]
    vendor_calls_it: _text(80, shortest=0) = Field(default="", description="The vendor's name for this member.")  # type: ignore[valid-type]
    conflict: _text(600, shortest=0) = Field(default="", description="What is disputed about the name.")  # type: ignore[valid-type]


class ToolPart(_Part):
    """A tool with its whole dossier."""

    slug: Slug = Field(description="Name in addresses, lower case, such as `mistral-3-small-22b`.")
    name: _text(120) = Field(description="Name as shown.")  # type: ignore[valid-type]
    short_name: _text(40, shortest=0) = Field(default="", description="Short name for tables; its initial names facts.")  # type: ignore[valid-type]
    vendor: _text(120) = Field(description="Who makes it.")  # type: ignore[valid-type]
    category: _text(80) = Field(description="Category; it chooses the panel.")  # type: ignore[valid-type]
    tagline: _text(160) = Field(description="What it is in one line.")  # type: ignore[valid-type]
    description: _text(2000, shortest=0) = Field(default="", description="A paragraph; `[fact-id]` becomes a footnote.")  # type: ignore[valid-type]
    website: Address | None = Field(default=None, description="Public address.")
    pricing: PricingPart = Field(description="How it is paid for.")
    licence: LicencePart | None = Field(default=None, description="Its licence.")
    best_for: _text(300, shortest=0) = Field(default="", description="Whom it suits.")  # type: ignore[valid-type]
    released: _text(40, shortest=0) = Field(default="", description="First release, as far as known.")  # type: ignore[valid-type]
    aliases: list[_text(120)] = Field(default=[], max_length=30, description="Other names.")  # type: ignore[valid-type]
    family: FamilyPart | None = Field(default=None, description="Tools that share one name with it.")
    compare_with: list[Slug] = Field(default=[], max_length=20, description="Slugs of tools it is often compared with.")
    facts: list[FactPart] = Field(max_length=MAX_FACTS, description="The dossier.")

    @model_validator(mode="after")
    def _ids_are_unique_and_on_record(self) -> "ToolPart":
        ids = [fact.id for fact in self.facts]
        twice = {fact_id for fact_id in ids if ids.count(fact_id) > 1}
        if twice:
            raise ValueError(f"facts: the id {sorted(twice)[0]!r} is used twice")
        cited = [fact for part in (self.pricing, self.licence) if part for fact in part.facts]
        cited += [conflict.fact for fact in self.facts for conflict in fact.conflicts_with if conflict.fact]
        missing = [fact_id for fact_id in cited if fact_id not in set(ids)]
        if missing:
            raise ValueError(f"cites the fact {missing[0]!r}, which is not in this file")
        return self


def read(path: Path) -> domain.ToolDraft:
    """The tool in a file. Raises :class:`BadToolFile` with every error, by line and field."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadToolFile(str(path), [_too_big(size)])
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise BadToolFile(str(path), [FieldError(0, "file", error.strerror or str(error))]) from error


def parse(content: bytes, file: str) -> domain.ToolDraft:
    """The tool in a document; ``file`` is how errors name it. Raises :class:`BadToolFile`."""
    if len(content) > MAX_FILE_BYTES:
        raise BadToolFile(file, [_too_big(len(content))])
    document = _load(content, file)
    try:
        part = ToolPart.model_validate(_as_plain(document))
    except ValidationError as error:
        raise BadToolFile(
            file, [_located(document, dict(found)) for found in error.errors(include_url=False)]
        ) from error
    return _draft(part)


def _load(content: bytes, file: str) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadToolFile(file, [FieldError(line, "file", "is not UTF-8")]) from error
    try:
        _refuse_tricks(text, file)
        document = YAML(typ="rt", pure=True).load(text)
    except BadToolFile:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part.strip() for part in (error.context, error.problem) if part).splitlines()
        raise BadToolFile(
            file, [FieldError(mark.line + 1 if mark else 0, "YAML", message[0] if message else "cannot be read")]
        ) from error
    except (YAMLError, ValueError, RecursionError) as error:
        said = (str(error).splitlines() or ["cannot be read"])[0]
        raise BadToolFile(file, [FieldError(1, "YAML", said or "cannot be read")]) from error
    if not isinstance(document, dict):
        raise BadToolFile(file, [FieldError(1, "file", "must hold one tool: fields such as `slug:` and `name:`")])
    return document


def _refuse_tricks(text: str, file: str) -> None:
    """Aliases and deep nesting make a small file grow without bound once it is loaded."""
    depth = 0
    for event in YAML(typ="rt", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise BadToolFile(file, [FieldError(line, "file", "YAML aliases (*name) are not allowed")])
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise BadToolFile(file, [FieldError(line, "file", f"is nested deeper than {MAX_DEPTH} levels")])


def _as_plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _as_plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_plain(value) for value in node]
    return str(node) if isinstance(node, str) else node


def _located(document: Any, found: dict[str, Any]) -> FieldError:
    where: Iterable[Any] = [part for part in found["loc"] if isinstance(part, int) or not part.startswith("function-")]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    return FieldError(_line_of(document, list(where)), field or "file", _message(found))


def _line_of(document: Any, where: Sequence[Any]) -> int:
    line = 1
    node: Any = document
    for part in where:
        marks: Any = node.lc.data if isinstance(node, CommentedBase) else None
        position = (marks or {}).get(part)
        if position:
            line = position[0] + 1
        try:
            node = cast(Any, node)[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def _message(found: dict[str, Any]) -> str:
    value, context = found.get("input"), found.get("ctx", {})
    match found["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is no field of a tool file"
        case "string_too_long":
            return f"has {len(str(value)):,} characters, at most {context['max_length']:,} are allowed"
        case "too_long":
            return f"has {context['actual_length']:,} entries, at most {context['max_length']:,} are allowed"
        case "string_type":
            return f"must be text, not {type(value).__name__} (put it in quotes)"
        case "string_unicode":
            return "contains half of a surrogate pair, which is not a character"
        case "string_too_short":
            return "is empty"
        case "string_pattern_mismatch":
            return "must be lower-case letters, digits and single hyphens"
        case "value_error" if found["loc"][-1:] == ("as_of",):
            return "must be a day, such as 2026-11-20"
        case "date_type" | "date_from_datetime_parsing" | "date_parsing":
            return "must be a day, such as 2026-11-20"
        case _:
            return str(found["msg"]).removeprefix("Value error, ")


def _too_big(size: int) -> FieldError:
    return FieldError(0, "file", f"has {size:,} bytes, at most {MAX_FILE_BYTES:,} are allowed")


def _draft(part: ToolPart) -> domain.ToolDraft:
    return domain.ToolDraft(
        slug=part.slug,
        name=part.name,
        short_name=part.short_name,
        vendor=part.vendor,
        category=part.category,
        tagline=part.tagline,
        description=part.description,
        website=part.website,
        pricing=domain.Pricing(
            part.pricing.summary, part.pricing.model, part.pricing.free_entry, tuple(part.pricing.facts)
        ),
        licence=domain.Licence(part.licence.summary, tuple(part.licence.facts)) if part.licence else None,
        best_for=part.best_for,
        released=part.released,
        aliases=tuple(dict.fromkeys(part.aliases)),
        family=domain.Family(**part.family.model_dump()) if part.family else None,
        compare_with=tuple(dict.fromkeys(part.compare_with)),
        facts=tuple(
            domain.FactDraft(
                fact_id=fact.id,
                statement=fact.statement,
                kind=fact.kind,
                source=fact.source,
                as_of=fact.as_of,
                topics=None if fact.topics is None else tuple(fact.topics),
                conflicts_with=tuple(
                    domain.Conflict(one.statement, one.fact, one.subject, one.here, one.there)
                    for one in fact.conflicts_with
                ),
            )
            for fact in part.facts
        ),
    )
