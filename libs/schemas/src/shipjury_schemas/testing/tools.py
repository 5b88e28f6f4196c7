"""A tool with its facts."""

from datetime import date
from typing import Any

from ..tool_published.v1 import Fact, Pricing, ToolPublished
from .fixed import HASH, NOON, TOOL_ID


def fact(number: int = 1, **changes: Any) -> Fact:
    """A fact of a dossier; ``number`` makes its id and label."""
    fields: dict[str, Any] = {
        "fact_id": f"quillbase-{number:02}",
        "label": f"Q{number:02}",
        "statement": "Backups can be restored with one documented command.",
        "kind": "capability",
        "topics": ("reliability", "documentation"),
        "source": "https://example.org/quillbase/docs/backup",
        "as_of": date(2026, 11, 1),
        "content_hash": HASH,
    }
    return Fact(**(fields | changes))


def tool_published(**changes: Any) -> ToolPublished:
    """A vector database with five facts."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "tool_id": TOOL_ID,
        "status": "published",
        "slug": "quillbase",
        "name": "Quillbase",
        "vendor": "Quillbase BV",
        "category": "RAG and vector databases",
        "tagline": "A vector database that runs on a laptop.",
        "description": "Quillbase stores embeddings and searches them, on one machine or on several.",
        "website": "https://example.org/quillbase",
        "pricing": Pricing(summary="Free under Apache-2.0; hosted by the gigabyte", model="freemium", free_entry=True),
        "best_for": "Small teams that want to run their own search",
        "aliases": ("Quill",),
        "facts": tuple(fact(number) for number in range(1, 6)),
        "content_hash": HASH,
        "published_at": NOON,
    }
    return ToolPublished(**(fields | changes))
