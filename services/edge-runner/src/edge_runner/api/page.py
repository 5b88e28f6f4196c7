"""The chat page at the node's own address: files of this package, no build step, nothing from anybody else.

It is open to everybody who reaches the address, since it says nothing of the node; its calls carry the token.
"""

from importlib.resources import files

from fastapi import FastAPI
from starlette.responses import Response

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_NAMES = ("index.html", "style.css", "api.js", "asked.js", "chat.js", "gauges.js")
PAGE_PATHS = frozenset({"/", *(f"/page/{name}" for name in _NAMES[1:])})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def install(app: FastAPI) -> None:
    """Serve the page at ``/`` and its parts below ``/page``."""
    folder = files("edge_runner").joinpath("page")
    contents = {name: folder.joinpath(name).read_bytes() for name in _NAMES}

    async def part(name: str = "index.html") -> Response:
        if name not in contents:
            return Response("no such file\n", 404, media_type="text/plain")
        kind = _KINDS[name[name.rindex(".") :]]
        return Response(contents[name], headers=HEADERS | {"Content-Type": kind})

    app.add_api_route("/", part, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/page/{name}", part, methods=["GET", "HEAD"], include_in_schema=False)
