"""Every bound of the broker in one place: what one client may ask for can't take the machine from the others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    request_size: int = 16 << 20
    batch_size: int = 1_048_588  # Kafka's own default (message.max.bytes)
    fetch_size: int = 16 << 20
    fetch_wait: float = 30.0
    connections: int = 500
    requests_in_flight: int = 16  # a connection, before the broker stops reading from it
    partitions_per_topic: int = 64
    partitions: int = 1000
    session_timeout_min: float = 0.5
    session_timeout_max: float = 1800.0
    groups: int = 1000
    group_members: int = 250
    metadata_size: int = 4096
