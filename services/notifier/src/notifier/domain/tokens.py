"""Opaque tokens in mail links: whom they are for, what they allow, and an HMAC over both.

A token names a subscriber and a purpose, and nothing that a reader of the link could use elsewhere. Unsubscribing
never expires (RFC 8058 mails are kept for years); a confirmation does.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

Purpose = Literal["confirm", "unsubscribe", "preferences"]

CONFIRMATION_LIVES = timedelta(days=7)

_CODES: dict[Purpose, int] = {"confirm": 1, "unsubscribe": 2, "preferences": 3}
_BODY = 1 + 16 + 8
_MAC = 20


class InvalidToken(Exception):
    """The link is forged, cut or for something else."""


class ExpiredToken(Exception):
    """The link was right, but its time has passed; ask for a new one."""


@dataclass(frozen=True)
class Token:
    """What a link allows: ``purpose`` for one subscriber."""

    purpose: Purpose
    subscriber_id: UUID
    issued_at: datetime


def sign(key: bytes, token: Token) -> str:
    """The token as it stands in a link: URL-safe, without padding."""
    body = _body(token)
    return urlsafe_b64encode(body + _mac(key, body)).rstrip(b"=").decode()


def read(key: bytes, text: str, purpose: Purpose, now: datetime) -> Token:
    """The token in a link. Raises :class:`InvalidToken` or :class:`ExpiredToken`."""
    try:
        raw = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    except ValueError as error:
        raise InvalidToken("not a token") from error
    body, mac = raw[:_BODY], raw[_BODY:]
    if len(mac) != _MAC or not hmac.compare_digest(mac, _mac(key, body)):
        raise InvalidToken("the signature is wrong")
    if body[0] != _CODES[purpose]:
        raise InvalidToken("the link is for something else")
    token = Token(
        purpose=purpose,
        subscriber_id=UUID(bytes=body[1:17]),
        issued_at=datetime.fromtimestamp(int.from_bytes(body[17:], "big"), UTC),
    )
    if purpose == "confirm" and now - token.issued_at > CONFIRMATION_LIVES:
        raise ExpiredToken("the link has expired")
    return token


def _body(token: Token) -> bytes:
    seconds = int(token.issued_at.timestamp())
    return bytes([_CODES[token.purpose]]) + token.subscriber_id.bytes + seconds.to_bytes(8, "big")


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, b"shipjury-mail-link\0" + body, hashlib.sha256).digest()[:_MAC]
