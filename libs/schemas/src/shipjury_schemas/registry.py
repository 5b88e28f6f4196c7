"""Every contract, in the order of a tool's journey."""

from .comparison_issued.v1 import ComparisonIssued
from .contract import Contract
from .digest_sent.v1 import DigestSent
from .edge_benchmarked.v1 import EdgeBenchmarked
from .edge_deployment.v1 import EdgeDeployment
from .edge_node.v1 import EdgeNode
from .inference_anomaly.v1 import InferenceAnomaly
from .inference_used.v1 import InferenceUsed
from .reviewer_rated.v1 import ReviewerRated
from .tally_changed.v1 import TallyChanged
from .tool_published.v1 import ToolPublished
from .verdict_issued.v1 import VerdictIssued
from .vote_cast.v1 import VoteCast

CONTRACTS: tuple[type[Contract], ...] = (
    ToolPublished,
    VerdictIssued,
    ComparisonIssued,
    ReviewerRated,
    VoteCast,
    TallyChanged,
    InferenceUsed,
    InferenceAnomaly,
    EdgeNode,
    EdgeDeployment,
    EdgeBenchmarked,
    DigestSent,
)


def contract_for(topic: str) -> type[Contract]:
    """The contract of a topic, by its name. Raises ``KeyError`` for a topic that is not ours."""
    return {contract.topic.name: contract for contract in CONTRACTS}[topic]
