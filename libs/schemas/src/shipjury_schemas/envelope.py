"""CloudEvents 1.0 on Kafka: how an event's data becomes a message and back.

Binary mode is written (attributes in ``ce_*`` headers, data as JSON in the value); structured mode
(``application/cloudevents+json``) is accepted too. Source: CloudEvents Kafka protocol binding 1.0.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from uuid_utils import uuid7

from .contract import Contract

D = TypeVar("D", bound=Contract)

MAX_BYTES = 512 * 1024
_STRUCTURED = "application/cloudevents+json"


class MalformedEvent(ValueError):
    """A message is no event of its topic's contract; the text says what is wrong and where."""


class EventTooLarge(ValueError):
    """An event exceeds 512 KiB."""


@dataclass(frozen=True)
class Message:
    """What goes into Kafka or came out of it."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Event(Generic[D]):
    """An event: its data and its CloudEvents attributes.

    ``time`` is when it happened (UTC). ``traceparent`` is a W3C trace context or ``None``.
    """

    data: D
    source: str
    id: str = field(default_factory=lambda: str(uuid7()))
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    traceparent: str | None = None

    @property
    def subject(self) -> str:
        """The aggregate's id."""
        return self.data.key


def encode(event: Event[Any]) -> Message:
    """The message of an event, in binary mode. Raises :class:`EventTooLarge`."""
    topic = event.data.topic
    value = event.data.model_dump_json().encode()
    if len(value) > MAX_BYTES:
        raise EventTooLarge(f"{topic.name}: event {event.id} has {len(value)} bytes, at most {MAX_BYTES} are allowed")
    attributes = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": event.source,
        "ce_type": topic.event_type,
        "ce_subject": event.subject,
        "ce_time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "ce_dataschema": topic.dataschema,
    }
    if event.traceparent:
        attributes["traceparent"] = event.traceparent
    return Message(
        key=event.subject.encode(),
        value=value,
        headers=tuple((name, text.encode()) for name, text in attributes.items()),
    )


def decode(contract: type[D], value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Event[D]:
    """The event in a message. Raises :class:`MalformedEvent` that says what is wrong."""
    if value is None:
        raise MalformedEvent(f"{contract.topic.name}: no value; this topic has no tombstones")
    attributes = {name.lower(): _text(name, raw) for name, raw in headers}
    if attributes.get("content-type", "").startswith(_STRUCTURED):
        attributes, document = _structured(contract, value, attributes)
        validate = contract.model_validate_json, json.dumps(document).encode()
    else:
        validate = contract.model_validate_json, value
    for name in ("ce_id", "ce_source", "ce_type", "ce_specversion"):
        if not attributes.get(name):
            raise MalformedEvent(f"{contract.topic.name}: header {name} is missing")
    if attributes["ce_specversion"] != "1.0":
        raise MalformedEvent(f"{contract.topic.name}: ce_specversion is {attributes['ce_specversion']!r}, not 1.0")
    if attributes["ce_type"] != contract.topic.event_type:
        raise MalformedEvent(
            f"{contract.topic.name}: ce_type is {attributes['ce_type']!r}, expected {contract.topic.event_type!r}"
        )
    try:
        parse, raw_value = validate
        data = parse(raw_value)
        time = datetime.fromisoformat(attributes["ce_time"]) if "ce_time" in attributes else datetime.now(UTC)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "value"
        raise MalformedEvent(f"{contract.topic.name}: {where}: {first['msg']}") from error
    except ValueError as error:
        raise MalformedEvent(f"{contract.topic.name}: ce_time: {error}") from error
    return Event(
        data=data,
        source=attributes["ce_source"],
        id=attributes["ce_id"],
        time=time,
        traceparent=attributes.get("traceparent"),
    )


def _structured(
    contract: type[Contract], value: bytes, headers: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        envelope = json.loads(value)
        document = envelope["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedEvent(f"{contract.topic.name}: structured event: {error!r}") from error
    attributes = {f"ce_{name}": str(text) for name, text in envelope.items() if name != "data" and text is not None}
    trace = headers.get("traceparent") or attributes.get("ce_traceparent")
    return (attributes | {"traceparent": trace} if trace else attributes), document


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedEvent(f"header {name} is not UTF-8") from error
