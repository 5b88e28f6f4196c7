"""Embeddings: what may be asked, and vectors in the encoding that was asked for. Pure.

`base64` is the bytes of the numbers as 32-bit floats, little-endian. Not every provider has it; the gateway packs and
unpacks for those.
"""

import base64
import binascii
import struct
from collections.abc import Mapping
from typing import Any

from .errors import GatewayError

Vector = list[float]


class NotAsAsked(ValueError):
    """The provider's vectors are not what was asked for; the text says how."""


def check(body: Mapping[str, Any]) -> None:
    """Refuse what no provider could take. Raises ``invalid_parameter``."""
    texts = body.get("input")
    if not texts or not (isinstance(texts, str) or _texts(texts) or _tokens(texts)):
        raise GatewayError("invalid_parameter", "`input` is a text, tokens, or a list of either", param="input")
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise GatewayError("invalid_parameter", "`encoding_format` is float or base64", param="encoding_format")
    dimensions = body.get("dimensions")
    if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
        raise GatewayError("invalid_parameter", "`dimensions` is an integer, at least 1", param="dimensions")


def as_asked(body: Mapping[str, Any], answer: dict[str, Any]) -> bool:
    """Bring an answer's vectors into the encoding that was asked for, in place; returns whether anything changed.
    Raises :class:`NotAsAsked` where vectors are missing, or have another length than `dimensions`."""
    data = answer.get("data")
    count = len(body["input"]) if _texts(body["input"]) or _lists(body["input"]) else 1
    if not isinstance(data, list) or len(data) != count or not all(isinstance(item, dict) for item in data):
        raise NotAsAsked(f"it does not have {count} embeddings")
    packed = body.get("encoding_format") == "base64"
    dimensions = body.get("dimensions")
    changed = False
    for item in data:
        vector = item.get("embedding")
        if not isinstance(vector, str | list):
            raise NotAsAsked("an embedding is neither numbers nor base64")
        if dimensions is not None and _length(vector) != dimensions:
            raise NotAsAsked(f"an embedding has {_length(vector)} dimensions, not {dimensions}")
        if packed and isinstance(vector, list):
            item["embedding"], changed = pack(vector), True
        elif not packed and isinstance(vector, str):
            item["embedding"], changed = unpack(vector), True
    return changed


def pack(vector: Vector) -> str:
    """Numbers as base64 of little-endian 32-bit floats. Raises :class:`NotAsAsked`."""
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError) as error:
        raise NotAsAsked(f"an embedding is not of 32-bit floats: {error}") from error


def unpack(text: str) -> Vector:
    """The numbers of :func:`pack`. Raises :class:`NotAsAsked`."""
    try:
        raw = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (binascii.Error, struct.error) as error:
        raise NotAsAsked(f"an embedding is no base64 of 32-bit floats: {error}") from error


def _length(vector: str | Vector) -> int:
    return len(vector) if isinstance(vector, list) else len(unpack(vector))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _lists(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, list) for item in value)


def _tokens(value: Any) -> bool:
    """Token ids of one text, or of several."""
    if not isinstance(value, list):
        return False
    if _lists(value):
        return all(item and all(type(token) is int for token in item) for item in value)
    return all(type(token) is int for token in value)
