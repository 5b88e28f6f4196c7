"""The little that the request path needs of HTTP, straight on ASGI: read a body, answer, answer with an error."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException

from shipjury_delivery.nesting import MOST_LEVELS, too_deep

from ..domain.errors import GatewayError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):
    """The client closed its connection before its request was read."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """A request header, by its lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises ``body_too_large`` and ``gateway_overloaded`` where it is past a bound
    of :mod:`shipjury_delivery.bodies`, and :class:`ClientGone`."""
    parts: list[bytes] = []
    try:
        while (message := await receive())["type"] != "http.disconnect":
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)
    except HTTPException as error:
        raise _past_a_bound(error) from None
    raise ClientGone


def parse(raw: bytes) -> Any:
    """The JSON of a body. Raises ``invalid_json`` for what is none, and for what is nested too deep to be written again
    for a provider."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise GatewayError("invalid_json", f"the body is not JSON: {error}") from error
    if raw.count(b"[") + raw.count(b"{") > MOST_LEVELS and too_deep(body):
        raise GatewayError("invalid_json", f"the body is nested deeper than {MOST_LEVELS} levels")
    return body


async def respond(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """A whole answer in two messages."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def respond_error(send: Send, error: GatewayError, headers: Headers) -> None:
    """An error in OpenAI's shape, with Retry-After where one is known."""
    more = [(b"content-type", b"application/json"), *headers]
    if error.retry_after_s is not None:
        more.append((b"retry-after", str(max(1, round(error.retry_after_s))).encode()))
    if error.code == "body_too_large":  # the rest of it is on its way
        more.append((b"connection", b"close"))
    await respond(send, error.status, orjson.dumps(error.body()), more)


def error_event(error: GatewayError) -> bytes:
    """An error inside a stream that has begun: what comes after it is not there, and no [DONE] follows."""
    return b"data: " + orjson.dumps(error.body()) + b"\n\n"


def _past_a_bound(error: HTTPException) -> GatewayError:
    if error.status_code == 413:
        return GatewayError("body_too_large", error.detail)
    return GatewayError("gateway_overloaded", error.detail, retry_after_s=1)
