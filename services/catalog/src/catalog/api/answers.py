"""How every answer leaves: strict headers, an ETag over its bytes, 304 where the reader has them already."""

import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
HTML = "text/html; charset=utf-8"
CHECK_FIRST = {"Cache-Control": "no-cache"}
"""Keep it, but ask before each use: pages are right after every event."""
PRIVATE = {"Cache-Control": "private, no-store"}


def tagged(request: Request, body: bytes, media_type: str = HTML, headers: Mapping[str, str] | None = None) -> Response:
    """The body with its ETag, or 304."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    sent = {"ETag": tag, **(CHECK_FIRST if headers is None else headers)}
    asked = request.headers.get("if-none-match", "")
    if tag in (one.strip().removeprefix("W/") for one in asked.split(",")):
        return Response(status_code=304, headers=sent)
    return Response(body, media_type=media_type, headers=sent)


class Secured:
    """ASGI middleware: the security headers on every answer, and HEAD wherever there is a GET."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in SECURITY.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            elif head:
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        await self._app({**scope, "method": "GET"} if head else scope, receive, sent)
