"""Bounds on what strangers send: the size of each body, and the memory of all of them.

It is ASGI middleware, applied by ``process`` to every service, so that no route can forget it. How long a body may take
is the server's (:mod:`.arriving`).
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from .operators import AsgiApp, Receive, Scope, Send

MIB = 1024 * 1024
_SMALL = 64 * 1024
"""What uvicorn keeps of a body that nobody reads: one that announces no more is not counted."""
_LAST = {"Connection": "close"}
"""The rest of a refused body is on its way: its connection is of no more use."""


@dataclass(frozen=True)
class BodyLimits:
    """How many bytes a body may have, and all that are held at once."""

    each_bytes: int
    together_bytes: int = 64 * MIB


FORMS = BodyLimits(each_bytes=64 * 1024)
"""What readers may send."""
DOCUMENTS = BodyLimits(each_bytes=8 * MIB)
"""What operators may send."""


def bounded(app: AsgiApp, limits: BodyLimits) -> AsgiApp:
    """The app, which gets at most such bodies.

    Where a body is past a bound, ``receive`` raises Starlette's ``HTTPException``, so that each app answers in its own
    shape: 413 for one that is too large (by what it announces, before anything of it is read), 503 with ``Retry-After``
    where all that are held have no room for it. A body is held until its request is answered, and counts by what has
    come of it.
    """
    held = 0
    small = min(_SMALL, limits.each_bytes)

    async def within(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal held
        announced = _announced(scope) if scope["type"] == "http" else 0
        if announced is not None and announced <= small:
            await app(scope, receive, send)
            return
        arrived = 0

        async def receive_within() -> MutableMapping[str, Any]:
            nonlocal arrived, held
            if announced is not None and announced > limits.each_bytes:
                raise _too_large(limits)
            message = await receive()
            length = len(message.get("body", b""))
            arrived += length
            held += length
            if arrived > limits.each_bytes:
                raise _too_large(limits)
            if held > limits.together_bytes and length:
                told = f"{limits.together_bytes:,} bytes of bodies are held already"
                raise HTTPException(503, told, _LAST | {"Retry-After": "1"})
            return message

        try:
            await app(scope, receive_within, send)
        finally:
            held -= arrived

    return within


def _announced(scope: Scope) -> int | None:
    """The length of the body, as httptools has read it; ``None`` where it is not said before its end."""
    length: int | None = 0
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding":
            length = None
    return length


def _too_large(limits: BodyLimits) -> HTTPException:
    return HTTPException(413, f"a body may have {limits.each_bytes:,} bytes", _LAST)
