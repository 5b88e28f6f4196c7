"""edge.deployments.v1: the whole set of models that a node should hold."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic


class WantedModel(Part):
    """A model that a node should hold."""

    model: str = Field(description="Id in the node's model list.")
    context_tokens: int | None = Field(default=None, description="Context to serve; null for the list's default.")
    slots: int | None = Field(default=None, description="Requests at once; null for the list's default.")
    accept_licence: str | None = Field(
        default=None, description="Name of the licence that an operator has accepted, where it restricts the use."
    )


class EdgeDeployment(Contract):
    """What a node should hold. `aggregate_version` is the generation."""

    topic: ClassVar[Topic] = Topic(
        name="edge.deployments.v1",
        key="node_id",
        retention="compacted",
        producer="inference-gateway",
        consumers=("edge-runner",),
        minor=1,
    )

    node_id: str = Field(description="The node.")
    models: tuple[WantedModel, ...] = Field(description="The whole desired set.")
    cordoned: bool = Field(default=False, description="Whether it should take no new requests.")
    drained: bool = Field(
        default=False, description="Whether it should also unload its models, when their requests are through."
    )
    deployed_at: datetime = Field(description="When (UTC).")
