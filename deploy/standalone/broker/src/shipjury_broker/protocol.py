"""Frames in, frames out: which requests this broker knows, in which versions, and their translation by kio.

Versions are capped below what the broker does not do: topic ids (metadata 10, fetch 13, produce 13), static members
(join 5, sync 3, heartbeat 3, leave 3, commit 7), several groups in one request (find coordinator 4, offset fetch 8).
Clients then use the older form, or say themselves that the broker lacks the feature. Metadata ends at 8 because
librdkafka 2.16 ends its version 9 request for all topics with an unknown tag, over which kio 0.6 stumbles.
"""

import dataclasses
import io
import sys
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from kio.index import load_request_schema, load_response_schema
from kio.serial import entity_reader, entity_writer

VERSIONS: dict[int, tuple[str, int, int]] = {
    0: ("produce", 3, 9),
    1: ("fetch", 4, 12),
    2: ("list_offsets", 1, 7),
    3: ("metadata", 0, 8),
    8: ("offset_commit", 2, 6),
    9: ("offset_fetch", 1, 7),
    10: ("find_coordinator", 0, 3),
    11: ("join_group", 0, 4),
    12: ("heartbeat", 0, 2),
    13: ("leave_group", 0, 2),
    14: ("sync_group", 0, 2),
    15: ("describe_groups", 0, 3),
    16: ("list_groups", 0, 3),
    18: ("api_versions", 0, 3),
    19: ("create_topics", 2, 5),
    20: ("delete_topics", 1, 5),
    22: ("init_producer_id", 0, 2),
    32: ("describe_configs", 1, 4),
    42: ("delete_groups", 0, 2),
}
API_VERSIONS = 18


class Request(NamedTuple):
    """One decoded request. `body` is kio's entity of the version that the client chose."""

    name: str
    version: int
    api_key: int
    correlation_id: int
    client_id: str
    body: Any


def decode(frame: bytes) -> Request | None:
    """The request in a frame (without its length), or None if its kind or version is not served.

    Raises kio's SerialError or ValueError for a frame that is no Kafka request. A client that asks for too new an
    `api_versions` is answered in version 0, as Kafka does: that is how it learns what there is.
    """
    api_key, version = (int.from_bytes(frame[at : at + 2], "big", signed=True) for at in (0, 2))
    name, oldest, newest = VERSIONS.get(api_key, ("", 0, -1))
    if api_key == API_VERSIONS and version > newest:
        return Request(name, -1, api_key, int.from_bytes(frame[4:8], "big", signed=True), "", None)
    if not oldest <= version <= newest:
        return None
    schema: Any = load_request_schema(api_key, version)
    header, read = _reader(schema.__header_schema__)(frame, 0)
    body, _ = _reader(schema)(frame, read)
    return Request(name, version, api_key, header.correlation_id, header.client_id or "", body)


def encode(request: Request, answer: Mapping[str, Any]) -> bytes:
    """The answer's frame, with its length. `answer` holds the fields of the newest version; older ones lack some."""
    schema: Any = load_response_schema(request.api_key, max(request.version, 0))
    buffer = io.BytesIO()
    buffer.write(bytes(4))
    header = build(schema.__header_schema__, {"correlation_id": request.correlation_id})
    _writer(schema.__header_schema__)(buffer, header)
    _writer(schema)(buffer, build(schema, answer, strict=request.version == VERSIONS[request.api_key][2]))
    with buffer.getbuffer() as view:
        view[:4] = (len(view) - 4).to_bytes(4, "big")
    return buffer.getvalue()


def build(schema: Any, values: Mapping[str, Any], *, strict: bool = False) -> Any:
    """An entity out of nested dicts; fields that this version does not have are left out, or a KeyError if strict."""
    fields = _fields(schema)
    if strict and (unknown := values.keys() - fields.keys()):
        raise KeyError(f"{schema.__name__} has no {', '.join(unknown)}")
    built = {name: value for name, value in values.items() if name in fields}
    for name, nested in fields.items():
        if nested and built.get(name) is not None:
            built[name] = tuple(build(nested, item, strict=strict) for item in built[name])
    return schema(**built)


@cache
def _fields(schema: Any) -> dict[str, Any]:
    """Field names, each with the entity that it is a list of, if it is one."""
    hints = typing.get_type_hints(schema, vars(sys.modules[schema.__module__]))
    return {field.name: _item(hints[field.name]) for field in dataclasses.fields(schema)}


def _item(hint: Any) -> Any:
    for part in (hint, *typing.get_args(hint)):
        if typing.get_origin(part) is tuple and dataclasses.is_dataclass(item := typing.get_args(part)[0]):
            return item
    return None


@cache
def _reader(schema: Any) -> Any:
    return entity_reader(schema)


@cache
def _writer(schema: Any) -> Any:
    return entity_writer(schema)
