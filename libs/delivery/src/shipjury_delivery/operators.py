"""The guard of the operators' port: a key for machines, Basic for browsers, and no request forged by another site.

It is ASGI middleware, applied by ``process`` to every service, so that no route can forget it.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .problems import problem
from .same_site import from_another_site

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_SAFE = {"GET", "HEAD", "OPTIONS"}


def guard(app: AsgiApp, key: str, service: str) -> AsgiApp:
    """The app, behind the operators' key.

    Everything but ``/<service>/healthz``, ``readyz`` and ``metrics`` needs ``Authorization: Bearer KEY`` or HTTP Basic
    with KEY as password (any user name). A browser sends Basic by itself, so unsafe methods that carry an ``Origin``
    or ``Sec-Fetch-Site`` header must come from the same origin. Raises ``ValueError`` for an empty key.
    """
    if not key:
        raise ValueError("the operators' key is empty")
    open_paths = {f"/{service}/{name}" for name in ("healthz", "readyz", "metrics")}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in open_paths and scope["method"] in _SAFE:
            await app(scope, receive, send)
            return
        if scope["type"] not in {"http", "websocket"}:
            await app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not _authorized(headers.get("authorization", ""), key):
            await _refuse(scope, receive, send, 401, "present the operators' key as Bearer or Basic password")
        elif (scope["type"] == "websocket" or scope["method"] not in _SAFE) and from_another_site(headers):
            await _refuse(scope, receive, send, 403, "a request from another site is refused")
        else:
            await app(scope, receive, send)

    return guarded


def _authorized(header: str, key: str) -> bool:
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        presented = credentials.strip()
    elif scheme.lower() == "basic":
        try:
            _, _, presented = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
    else:
        return False
    return hmac.compare_digest(presented.encode(), key.encode())


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = {"WWW-Authenticate": 'Basic realm="shipjury operators", charset="UTF-8"'} if status == 401 else {}
    await problem(status, detail, headers)(scope, receive, send)
