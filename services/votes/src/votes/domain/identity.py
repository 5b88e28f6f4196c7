"""Names that identify a voter where it must be, and nowhere else: keyed hashes, cut to 128 bits."""

import hashlib
import hmac

_LENGTH = 32


def pseudonym(key: bytes, tool_id: str, voter: str) -> str:
    """A voter's name in the log of one tool. Without the key nobody can link it to another tool's log.

    The key must never change, or every voter could vote again.
    """
    return _keyed(key, "voter", tool_id, voter)


def daily_hash(key: bytes, salt: bytes, kind: str, text: str) -> str:
    """A hash of a network, a kind of client or a voter that means nothing once the day's salt is destroyed."""
    return _keyed(hmac.digest(key, salt, hashlib.sha256), kind, text)


def _keyed(key: bytes, *parts: str) -> str:
    return hmac.digest(key, "\0".join(parts).encode(), hashlib.sha256).hex()[:_LENGTH]
