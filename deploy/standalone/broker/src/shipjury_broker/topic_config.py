"""What a topic can be created with: the few of Kafka's settings that this broker keeps its word on."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from kio.schema.errors import ErrorCode

from shipjury_broker.errors import Refused

_POLICIES = {"delete", "compact", "compact,delete", "delete,compact"}


@dataclass(frozen=True)
class TopicConfig:
    """`cleanup.policy`, `retention.ms` (-1, the default here: for ever), `delete.retention.ms` (of tombstones)."""

    cleanup_policy: str = "delete"
    retention_ms: int = -1
    delete_retention_ms: int = 86_400_000

    @classmethod
    def parse(cls, given: Mapping[str, str | None]) -> "TopicConfig":
        """From Kafka's names. Raises Refused(invalid_config) for a setting that this broker does not have."""
        values = {name.replace(".", "_"): text for name, text in given.items()}
        if unknown := [name for name in given if name.replace(".", "_") not in cls.__dataclass_fields__]:
            raise Refused(ErrorCode.invalid_config, f"{unknown[0]}: this broker has {', '.join(cls().named())}")
        policy = values.pop("cleanup_policy", None) or "delete"
        if policy not in _POLICIES:
            raise Refused(ErrorCode.invalid_config, f"cleanup.policy: {policy!r} is neither delete nor compact")
        return cls(policy, **{name: _milliseconds(name, text) for name, text in values.items()})

    @property
    def compacted(self) -> bool:
        return "compact" in self.cleanup_policy

    @property
    def deleted(self) -> bool:
        return "delete" in self.cleanup_policy

    def named(self) -> dict[str, str]:
        return {name.replace("_", "."): str(value) for name, value in asdict(self).items()}


def _milliseconds(name: str, text: str | None) -> int:
    if text is None or not re.fullmatch(r"-1|\d{1,18}", text):
        raise Refused(ErrorCode.invalid_config, f"{name.replace('_', '.')}: {text!r} is no number of milliseconds")
    return int(text)
