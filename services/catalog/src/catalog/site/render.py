"""Draws pages: Jinja with autoescape on, so that a tool's text is never markup; static files named by content."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from . import words

HERE = Path(__file__).parent
STATIC = HERE / "static"
_CITATION = re.compile(r"\[([a-z0-9.-]{1,100})\]")


class Renderer:
    """Turns a template's name and its data into HTML. ``minimum_votes`` is told on every page with votes."""

    def __init__(self, *, minimum_votes: int, reload: bool = False) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=reload,
        )
        self._environment.globals.update(
            static=static_address, verdicts=words.VERDICTS, marks=words.MARKS, minimum_votes=minimum_votes
        )
        self._environment.filters.update(
            points=words.points,
            percent=words.percent,
            counted=words.counted,
            probability=words.probability,
            at=words.at,
            day=words.day,
            short_day=words.short_day,
            ordinal=words.ordinal,
            joined=words.joined,
            footnotes=footnotes,
            pricing_kind=lambda model: words.PRICING.get(model, model),
            iso=lambda when: when.isoformat() if isinstance(when, datetime) else str(when),
        )

    def page(self, template: str, data: Mapping[str, Any]) -> bytes:
        """The page as UTF-8."""
        text = self._environment.get_template(template).render(data)
        return re.sub(r"\n\s*\n+", "\n", text).encode()


def footnotes(text: str, labels: Mapping[str, str]) -> Markup:
    """A description with ``[fact-id]`` as links to the facts; all other text is escaped."""
    parts = []
    for number, part in enumerate(_CITATION.split(text)):
        if number % 2 == 0:
            parts.append(escape(part.rstrip() + " " if _ends_with_space(part) else part))
        elif part in labels:
            parts.append(Markup('<a class=fn href="#{0}">{0}</a>').format(labels[part]))
        else:
            parts.append(escape(f"[{part}]"))
    return Markup("").join(parts)


def _ends_with_space(part: str) -> bool:
    return part != part.rstrip()


def static_address(name: str) -> str:
    """Address of a static file that changes with its content, so that browsers may keep it for a year."""
    return f"/static/{name}?v={_fingerprint(name)}"


@cache
def _fingerprint(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
