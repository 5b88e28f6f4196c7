"""Which JSON schemas are honoured: each keyword is held by the engine's grammar, checked on the answer, or refused.

An engine's grammar (llama.cpp's ``json-schema-to-grammar``) leaves out what it does not know without a word. What it
leaves out and an answer would break by chance only is checked on the answer; what it would break as a rule is refused
by name before anything is generated. ``docs/reference/json-schemas.md`` has the list.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

REFUSED = {
    "not": "what must not be cannot be generated",
    "if": "conditions cannot be generated",
    "then": "conditions cannot be generated",
    "else": "conditions cannot be generated",
    "dependentSchemas": "conditions cannot be generated",
    "dependentRequired": "conditions cannot be generated",
    "dependencies": "conditions cannot be generated",
    "patternProperties": "names by pattern cannot be generated; use properties or additionalProperties",
    "propertyNames": "names by pattern cannot be generated; use properties",
    "contains": "use items",
    "minContains": "use items and minItems",
    "maxContains": "use items and maxItems",
    "additionalItems": "use prefixItems alone, or items alone",
    "unevaluatedItems": "use items",
    "unevaluatedProperties": "use additionalProperties",
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
}
_SILENT = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id"}
)
_DEFINES = frozenset({"$defs", "definitions"})
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions")
_ESCAPES = frozenset("^$.[]()|{}*+?")


@dataclass(frozen=True)
class Refusal:
    """A keyword that cannot be honoured, where it stands (``properties.a.not``), and what to do."""

    keyword: str
    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.keyword!r} is not supported: {self.why}"


def refusal(schema: Mapping[str, Any], *, whole_by_ref: bool = True) -> Refusal | None:
    """The first keyword of a valid schema that cannot be honoured; ``None`` where all can.

    ``whole_by_ref``: whether ``"$ref": "#"`` leads somewhere in what the engine gets.
    """
    return next(_refusals(schema, (), whole_by_ref), None)


def _refusals(schema: Any, place: tuple[str, ...], whole_by_ref: bool) -> Iterator[Refusal]:
    if not isinstance(schema, Mapping):
        yield _no(place, "true and false are no schemas here; write an object")
        return
    said = schema.keys() - _SILENT - _DEFINES
    for keyword in schema:
        if keyword in REFUSED:
            yield _no((*place, keyword), REFUSED[keyword])
    if "$ref" in schema:
        if len(said) > 1:
            yield _no((*place, "$ref"), f"nothing may stand beside it, such as {min(said - {'$ref'})}")
        if not (schema["$ref"].startswith("#/") or (whole_by_ref and schema["$ref"] == "#")):
            yield _no((*place, "$ref"), f"{schema['$ref']!r} does not begin with '#/'")
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema and (beside := said - {keyword, "type"}):
            yield _no((*place, keyword), f"nothing but a type may stand beside it, such as {min(beside)}")
    if "allOf" in schema and (beside := said & {"properties", "additionalProperties", "items", "pattern"}):
        yield _no((*place, "allOf"), f"{min(beside)} may not stand beside it; move it into allOf")
    if "prefixItems" in schema and "items" in schema:
        yield _no((*place, "prefixItems"), "items may not stand beside it")
    if "pattern" in schema and (why := unwritable(schema["pattern"])):
        yield _no((*place, "pattern"), why)
    yield from _below(schema, place, whole_by_ref)


def _below(schema: Mapping[str, Any], place: tuple[str, ...], whole_by_ref: bool) -> Iterator[Refusal]:
    for keyword in _NAMED:
        for name, inner in schema.get(keyword, {}).items():
            yield from _refusals(inner, (*place, keyword, name), whole_by_ref)
    for keyword in _LISTS:
        for number, inner in enumerate(schema.get(keyword, ())):
            yield from _refusals(inner, (*place, keyword, str(number)), whole_by_ref)
    if "items" in schema:
        yield from _refusals(schema["items"], (*place, "items"), whole_by_ref)
    if not isinstance(schema.get("additionalProperties", True), bool):
        yield from _refusals(schema["additionalProperties"], (*place, "additionalProperties"), whole_by_ref)


def unwritable(pattern: str) -> str | None:
    """Why a grammar cannot write the strings of a pattern, or not inside JSON's quotes; ``None`` where it can."""
    if not (pattern.startswith("^") and pattern.endswith("$")) or re.search(r"(?<!\\)(\\\\)*\\\$$", pattern):
        return "it must begin with ^ and end with $"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"it is no regular expression: {error}"
    inner, at = pattern[1:-1], 0
    while at < len(inner):
        char, following = inner[at], inner[at + 1 : at + 2]
        if char == "\\":
            if following not in _ESCAPES:
                return f"\\{following} is not supported; write a class such as [0-9]"
            at += 2
        elif char == "[":
            end = _class_end(inner, at)
            if why := _unwritable_class(inner[at + 1 : end]):
                return why
            at = end + 1
        elif why := _unwritable_char(char, inner[at : at + 3]):
            return why
        else:
            at += 1
    return None


def _unwritable_char(char: str, ahead: str) -> str | None:
    if char == ".":
        return "a dot also stands for quotes; write a class such as [a-z ]"
    if char in "^$" or (ahead.startswith("(?") and ahead != "(?:") or re.match(r"[*+?}][?+]", ahead):
        return f"{ahead!r}: anchors inside, look-around, and lazy or possessive repetition are not supported"
    return "quotes and control characters are not supported" if char == '"' or char < " " else None


def _class_end(inner: str, begin: int) -> int:
    at = begin + 1
    while inner[at] != "]":
        at += 2 if inner[at] == "\\" else 1
    return at


def _unwritable_class(members: str) -> str | None:
    if not members or members.startswith("^"):
        return "a class of what must not be there also has quotes; name what may be there"
    if escaped := re.search(r"\\(?![\[\]])", members):
        return f"{members[escaped.start() : escaped.start() + 2]} is not supported in a class"
    plain = members.replace("\\[", "").replace("\\]", "")
    for low, high in re.findall(r"(.)-(.)", plain, re.DOTALL):
        if any(low <= char <= high for char in '"\\\x1f'):
            return f"{low}-{high} has quotes or backslashes in it"
    return "quotes and control characters are not supported" if re.search(r'["\x00-\x1f]', plain) else None


def _no(place: tuple[str, ...], why: str) -> Refusal:
    return Refusal(place[-1] if place else "schema", ".".join(place) or "the schema", why)
