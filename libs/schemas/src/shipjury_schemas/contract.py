"""The base of every event's data."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from .topic import Topic

AggregateVersion = Annotated[
    int,
    Field(
        ge=1,
        description="Version of the aggregate after this event; a consumer ignores one that is not newer.",
    ),
]


class Part(BaseModel):
    """A piece of an event's data. Frozen; unknown fields are ignored, so that old readers read new data."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Contract(Part):
    """The data of one event, one class a topic and major version."""

    topic: ClassVar[Topic]

    aggregate_version: AggregateVersion

    @property
    def key(self) -> str:
        """The aggregate's id: message key and CloudEvents ``subject``."""
        return str(getattr(self, self.topic.key))
