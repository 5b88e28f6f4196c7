"""What a request has to be before anything looks at it: small, and not sent by another site's page."""

from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from .problems import Problem, problem

LARGEST_BODY = 16 * 1024
_TOO_LARGE = f"At most {LARGEST_BODY} bytes are read."


def refuse_other_sites(request: Request) -> None:
    """Raise a 403 where a browser says that another site's page sent the request.

    Browsers that are not old send ``Sec-Fetch-Site``, all send ``Origin`` with a form; what sends neither is no
    browser and carries no reader's cookie by itself.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        ours = site in {"same-origin", "none"}
    elif origin is not None:
        ours = urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower() != ""
    else:
        ours = True
    if not ours:
        raise Problem(403, "A vote is taken from this site's own pages only.")


def own_path(back: str) -> str:
    """A path on this site to go back to; ``/`` for anything that could lead elsewhere."""
    if not back.startswith("/") or back.startswith(("//", "/\\")) or not back.isprintable() or "\\" in back:
        return "/"
    return back


class SmallBodies:
    """ASGI middleware that refuses bodies over :data:`LARGEST_BODY`, however they are sent."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > LARGEST_BODY:
            await _too_large(scope, receive, send)
            return
        received = 0

        async def counting() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                raise HTTPException(413, _TOO_LARGE)
            return message

        await self._app(scope, counting, send)


async def _too_large(scope: Any, receive: Any, send: Any) -> None:
    await problem(413, _TOO_LARGE, {"Connection": "close"})(scope, receive, send)
