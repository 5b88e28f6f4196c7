"""What a topic promises: name, key, how long it is kept, who writes it and who reads it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Retention = Literal["compacted", "forever"] | timedelta


@dataclass(frozen=True)
class Topic:
    """One Kafka topic and the promises that its contract makes.

    ``key`` names the field of the contract that is the message key (the aggregate's id).
    ``retention`` is ``"compacted"`` (the last value per key is kept), ``"forever"``, or a duration.
    ``minor`` is the minor version of the contract, carried in ``ce_dataschema``.
    """

    name: str
    key: str
    retention: Retention
    producer: str
    consumers: tuple[str, ...]
    minor: int = 0

    @property
    def event_type(self) -> str:
        """CloudEvents ``type``: ``shipjury.`` and the topic's name without its version."""
        stem, _, _ = self.name.rpartition(".v")
        return f"shipjury.{stem}"

    @property
    def major(self) -> int:
        """Major version, the number behind ``.v`` in the topic's name."""
        return int(self.name.rpartition(".v")[2])

    @property
    def dataschema(self) -> str:
        """CloudEvents ``dataschema``: names the contract with its minor version."""
        return f"urn:shipjury:{self.name}.{self.minor}"

    def dead_letters(self, group: str) -> str:
        """Name of the topic that takes this topic's messages that ``group`` could not apply."""
        return f"{self.name}.{group}.dlq"
