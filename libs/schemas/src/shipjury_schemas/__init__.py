"""The events of Shipjury: contracts, their topics, and how they travel on Kafka.

Subscribers install this package: ``decode(VerdictIssued, record.value, record.headers)`` gives a typed event.
"""

from .comparison_issued.v1 import ComparisonIssued
from .contract import Contract
from .digest_sent.v1 import DigestSent
from .edge_benchmarked.v1 import EdgeBenchmarked
from .edge_deployment.v1 import EdgeDeployment
from .edge_node.v1 import EdgeNode
from .envelope import Event, EventTooLarge, MalformedEvent, Message, decode, encode
from .inference_anomaly.v1 import InferenceAnomaly
from .inference_used.v1 import InferenceUsed
from .registry import CONTRACTS, contract_for
from .reviewer_rated.v1 import ReviewerRated
from .tally_changed.v1 import TallyChanged
from .tool_published.v1 import ToolPublished
from .topic import Topic
from .verdict_issued.v1 import VerdictIssued
from .vote_cast.v1 import VoteCast

__all__ = [
    "CONTRACTS",
    "ComparisonIssued",
    "Contract",
    "DigestSent",
    "EdgeBenchmarked",
    "EdgeDeployment",
    "EdgeNode",
    "Event",
    "EventTooLarge",
    "InferenceAnomaly",
    "InferenceUsed",
    "MalformedEvent",
    "Message",
    "ReviewerRated",
    "TallyChanged",
    "ToolPublished",
    "Topic",
    "VerdictIssued",
    "VoteCast",
    "contract_for",
    "decode",
    "encode",
]
