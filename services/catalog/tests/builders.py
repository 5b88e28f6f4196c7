"""Readable drafts and files for the catalog's tests."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from catalog import domain

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def fact(number: int = 1, **changes: Any) -> domain.FactDraft:
    """A fact of Quillbase."""
    return replace(
        domain.FactDraft(
            fact_id=f"quillbase-{number:02}",
            statement="Backups can be restored with one documented command.",
            kind="capability",
            source="https://example.org/quillbase/docs/backup",
            as_of=date(2026, 11, 1),
        ),
        **changes,
    )


def draft(**changes: Any) -> domain.ToolDraft:
    """Quillbase, a vector database with three facts."""
    return replace(
        domain.ToolDraft(
            slug="quillbase",
            name="Quillbase",
            vendor="Quillbase BV",
            category="RAG and vector databases",
            tagline="A vector database that runs on a laptop.",
            pricing=domain.Pricing("Free under Apache 2.0", "free", True, ("quillbase-01",)),
            facts=tuple(fact(number) for number in (1, 2, 3)),
            aliases=("Quill",),
        ),
        **changes,
    )


TOOL_FILE = """\
slug: quillbase
name: Quillbase
vendor: Quillbase BV
category: RAG and vector databases
tagline: A vector database that runs on a laptop.
pricing:
  summary: Free under Apache 2.0
  model: free
facts:
  - id: quillbase-01
    statement: Backups can be restored with one documented command.
    kind: capability
    source: https://example.org/quillbase/docs/backup
    as_of: 2026-11-01
"""
