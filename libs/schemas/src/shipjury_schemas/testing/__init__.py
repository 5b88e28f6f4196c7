"""Builders of events with readable defaults, for our tests and for those of anybody who subscribes.

``tool_published(name="Quillbase")`` is a whole, valid event; every field can be overridden by its name. Values are
fixed (no clock, no randomness), so that what is built twice is equal; give ids of your own where they must differ.
"""

from typing import Any

from ..contract import Contract
from ..envelope import Event
from .digests import digest_sent
from .edge import edge_benchmarked, edge_deployment, edge_node
from .fixed import HASH, NOON, OTHER_TOOL_ID, TOOL_ID
from .inference import inference_anomaly, inference_used
from .panel import comparison_issued, exam, review, reviewer_rated, verdict_issued
from .tools import fact, tool_published
from .votes import tally_changed, vote_cast

__all__ = [
    "HASH",
    "NOON",
    "OTHER_TOOL_ID",
    "TOOL_ID",
    "comparison_issued",
    "digest_sent",
    "edge_benchmarked",
    "edge_deployment",
    "edge_node",
    "event",
    "exam",
    "examples",
    "fact",
    "inference_anomaly",
    "inference_used",
    "review",
    "reviewer_rated",
    "tally_changed",
    "tool_published",
    "verdict_issued",
    "vote_cast",
]


def event(data: Contract, **changes: Any) -> Event[Any]:
    """An event around data, with a fixed id and time unless told otherwise."""
    fields: dict[str, Any] = {
        "source": f"/shipjury/{data.topic.producer}",
        "id": "0193a000-0000-7000-8000-0000000000e1",
        "time": NOON,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return Event(data=data, **(fields | changes))


def examples() -> tuple[Contract, ...]:
    """One example of each contract, in the order of the journey."""
    return (
        tool_published(),
        verdict_issued(),
        comparison_issued(),
        reviewer_rated(),
        vote_cast(),
        tally_changed(),
        inference_used(),
        inference_anomaly(),
        edge_node(),
        edge_deployment(),
        edge_benchmarked(),
        digest_sent(),
    )
