"""Dead letters: a message that a group can never apply, as it came, with headers that say why, when, how often, where.

Redriving one appends a copy with ``shipjury-redrive-of`` to the same dead-letter topic. The group that it belongs to
reads its own dead-letter topics and applies such copies, and nothing else there. So no other group sees the message
again, and a compacted topic does not end on an old value, as both would be with publishing it anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from aiokafka import AIOKafkaProducer

Why = Literal["malformed", "permanent", "failed"]

_PREFIX = "shipjury-dead-"
REDRIVE_OF = "shipjury-redrive-of"
_ERROR_CHARACTERS = 2000

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Origin:
    """Where a message stood when it could not be applied."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter, as it stands in its topic. ``attempts`` counts all tries, those before a redrive included."""

    group: str
    why: str
    error: str
    at: str
    attempts: int
    origin: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    """As the message came."""


def headers_for(
    original: Headers, *, group: str, why: Why, error: BaseException, attempts: int, origin: Origin, no_key: bool
) -> list[tuple[str, bytes]]:
    """The headers of a dead letter: the message's own, and what happened. Those of an earlier death are replaced."""
    told = {
        "group": group,
        "why": why,
        "error": f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS],
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "attempts": str(attempts + _attempts_before(original)),
        "origin": _header(original, "origin") or str(origin),
        "timestamp": _header(original, "timestamp") or origin.timestamp.isoformat(timespec="milliseconds"),
        **({"no-key": "1"} if no_key else {}),
    }
    return [*own_headers(original), *((_PREFIX + name, text.encode()) for name, text in told.items())]


def own_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """A message's headers without those that we added when it died or was redriven."""
    return [(name, raw) for name, raw in headers if not name.startswith(_PREFIX) and name != REDRIVE_OF]


def read(key: bytes | None, value: bytes | None, headers: Headers) -> DeadLetter | None:
    """The dead letter in a record of a dead-letter topic; ``None`` for a redriven copy or somebody else's record."""
    if redrive_of(headers) or _header(headers, "group") is None:
        return None
    return DeadLetter(
        group=_header(headers, "group") or "",
        why=_header(headers, "why") or "",
        error=_header(headers, "error") or "",
        at=_header(headers, "at") or "",
        attempts=_attempts_before(headers),
        origin=_header(headers, "origin") or "",
        key=None if _header(headers, "no-key") else key,
        value=value,
        headers=own_headers(headers),
    )


def redrive_of(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """``partition@offset`` of the dead letter that a record is the redriven copy of; ``None`` where it is none."""
    return next((raw.decode(errors="replace") for name, raw in headers if name == REDRIVE_OF), None)


async def send(
    producer: AIOKafkaProducer,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes]],
) -> None:
    """Append to a dead-letter topic and wait until it is there. Raises ``KafkaError``."""
    # aiokafka refuses a message without both; `no-key` in the headers tells that the key is ours
    arguments: dict[str, Any] = {"key": b"" if key is None and value is None else key, "value": value}
    await producer.send_and_wait(topic, headers=headers, **arguments)


def _attempts_before(headers: Headers) -> int:
    text = _header(headers, "attempts") or "0"
    return int(text) if text.isdigit() else 0


def _header(headers: Headers, name: str) -> str | None:
    return next((raw.decode(errors="replace") for found, raw in headers if found == _PREFIX + name), None)
