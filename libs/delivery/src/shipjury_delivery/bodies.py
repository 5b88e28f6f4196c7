"""Bounds on what strangers send: the size of each body, the memory of all of them, and the time that one may take.

It is ASGI middleware, applied by ``process`` to every service, so that no route can forget it.
"""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from .operators import AsgiApp, Receive, Scope, Send

MIB = 1024 * 1024


@dataclass(frozen=True)
class BodyLimits:
    """How large a body may be, how large all that are held at once, and how many seconds one may take to arrive."""

    each_bytes: int
    together_bytes: int = 64 * MIB
    seconds: float = 30.0


FORMS = BodyLimits(each_bytes=64 * 1024)
"""What readers may send."""
DOCUMENTS = BodyLimits(each_bytes=8 * MIB)
"""What operators may send."""


def bounded(app: AsgiApp, limits: BodyLimits) -> AsgiApp:
    """The app, which gets at most such bodies.

    Where a body is past a bound, ``receive`` raises Starlette's ``HTTPException``, so that each app answers in its own
    shape: 413 for one that is too large (by what it announces, before anything of it is read), 408 for one that is too
    slow, 503 with ``Retry-After`` where all that are held have no room for it. A body is held until its request is
    answered, and counts by what has come of it.
    """
    held = 0

    async def within(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal held
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        arrived, whole, until = 0, False, 0.0

        async def receive_within() -> MutableMapping[str, Any]:
            nonlocal arrived, whole, until, held
            if whole:
                return await receive()
            if not until:
                _refuse_announced(scope, limits)
                until = asyncio.get_running_loop().time() + limits.seconds
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise _refusal(408, f"the body did not arrive within {limits.seconds:g} s") from None
            length = len(message.get("body", b""))
            arrived += length
            held += length
            whole = not message.get("more_body", False)
            if arrived > limits.each_bytes:
                raise _too_large(limits)
            if held > limits.together_bytes and length:
                raise _refusal(503, f"{limits.together_bytes:,} bytes of bodies are held already", retry_after="1")
            return message

        try:
            await app(scope, receive_within, send)
        finally:
            held -= arrived

    return within


def _refuse_announced(scope: Scope, limits: BodyLimits) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > limits.each_bytes):
            raise _too_large(limits)


def _too_large(limits: BodyLimits) -> HTTPException:
    return _refusal(413, f"a body may have {limits.each_bytes:,} bytes")


def _refusal(status: int, text: str, **headers: str) -> HTTPException:
    # The rest of the body is on its way: the connection is of no more use.
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return HTTPException(status, text, {"Connection": "close", **named})
