"""An issue of the digest."""

from datetime import UTC, datetime
from typing import Any

from ..digest_sent.v1 import DigestItem, DigestSent
from .fixed import NOON, TOOL_ID


def digest_sent(**changes: Any) -> DigestSent:
    """A first issue with one new verdict."""
    fields: dict[str, Any] = {
        "aggregate_version": 1,
        "digest_id": "weekly-2026-W47",
        "number": 1,
        "title": "Weekly AI Tool Verdicts, 20 November 2026",
        "period_from": datetime(2026, 11, 13, 8, 0, tzinfo=UTC),
        "period_to": datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
        "items": (
            DigestItem(
                kind="new_verdict",
                tool_id=TOOL_ID,
                slug="quillbase",
                title="Quillbase: ship",
                verdict="ship",
                text="Four of five reviewers say ship; score 66, interval 60 to 72.",
            ),
        ),
        "recipients": 12,
        "level_note": "Judged by a tone reader: one effective vote, not five.",
        "sent_at": NOON,
    }
    return DigestSent(**(fields | changes))
