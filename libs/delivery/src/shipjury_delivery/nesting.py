"""How deep the JSON of a stranger may be nested: orjson reads 1,024 levels and writes 254, and fails over the rest."""

from typing import Any

MOST_LEVELS = 200
"""Deeper than any request is, with room for what is put around it when it is passed on."""


def too_deep(value: Any) -> bool:
    """Whether objects and arrays of a JSON value are nested deeper than :data:`MOST_LEVELS`."""
    level, levels = [value] if isinstance(value, dict | list) else [], 0
    while level and levels < MOST_LEVELS:
        levels += 1
        held = (one.values() if isinstance(one, dict) else one for one in level)
        level = [inner for outer in held for inner in outer if isinstance(inner, dict | list)]
    return bool(level)
