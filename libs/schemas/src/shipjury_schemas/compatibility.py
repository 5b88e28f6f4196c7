"""The compatibility gate: what a contract's schema may change within one major version.

Full transitive compatibility, as in schema registries: readers of every earlier minor version read new data, and new
readers read data of every earlier minor version. Readers ignore unknown fields and fill in defaults, so an optional
field may be added; nothing else about the shape of a value may change.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_WORDS = {"$id", "description", "title", "default", "examples"}  # `$id` names the minor version: it must change
_SHAPE = {"properties", "required", "$defs"}


def breaks(old: Schema, new: Schema) -> list[str]:
    """What in ``new`` breaks a reader or writer of ``old``, one sentence each; empty where they are compatible.

    Both are JSON Schemas of a whole contract, with ``$defs``.
    """
    return list(_walk("", old, new, old, new, frozenset()))


def _walk(
    path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema, seen: frozenset[str]
) -> Iterator[str]:
    reference = f"{old.get('$ref')}|{new.get('$ref')}"
    if "$ref" in old or "$ref" in new:
        if reference in seen:
            return
        seen |= {reference}
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    where = path or "the event"
    for name in sorted((old.keys() | new.keys()) - _WORDS - _SHAPE - {"items", "anyOf", "prefixItems"}):
        if _comparable(old.get(name)) != _comparable(new.get(name)):
            yield f"{where}: {name} changed from {old.get(name)!r} to {new.get(name)!r}"
    yield from _fields(path, old, new, old_root, new_root, seen)
    if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
        yield from _walk(f"{path}[]", old["items"], new["items"], old_root, new_root, seen)
    elif ("items" in old) != ("items" in new):
        yield f"{where}: items appeared or went"
    yield from _branches(path, old, new, old_root, new_root, seen)


def _fields(
    path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema, seen: frozenset[str]
) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(required_after - required_before):
        yield f"{path}.{name}: is required now; data of the earlier version does not have it"
    for name in sorted(required_before - required_after):
        yield f"{path}.{name}: is no longer required; readers of the earlier version need it"
    for name in sorted(before.keys() - after.keys() - required_before):
        yield f"{path}.{name}: was removed; its name could come back with another meaning"
    for name in sorted(before.keys() & after.keys()):
        yield from _walk(f"{path}.{name}", before[name], after[name], old_root, new_root, seen)


def _branches(
    path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema, seen: frozenset[str]
) -> Iterator[str]:
    before, after = old.get("anyOf", []), new.get("anyOf", [])
    if len(before) != len(after):
        yield f"{path}: takes {len(after)} kinds of values, {len(before)} before"
        return
    for one, other in zip(before, after, strict=True):
        yield from _walk(path, one, other, old_root, new_root, seen)


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    resolved: Schema = root["$defs"][reference.rpartition("/")[2]]
    return resolved


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
