"""The two origins: readers' routes by prefix on one port, operators' by service name on another."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import httpx

Scope = MutableMapping[str, Any]
AsgiApp = Callable[..., Awaitable[None]]
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}


def by_prefix(apps: Mapping[str, AsgiApp], otherwise: AsgiApp) -> AsgiApp:
    """Send a request to the app of its first path segment. ``scope`` stays as it is: apps know their whole paths."""

    async def route(scope: Scope, receive: Any, send: Any) -> None:
        segment = scope.get("path", "/").split("/", 2)[1] if scope.get("path", "/").startswith("/") else ""
        await apps.get(segment, otherwise)(scope, receive, send)

    return route


def index(services: list[str]) -> AsgiApp:
    """The operators' front page: where each service's pages are."""
    rows = "".join(
        f'<li><a href="/{name}/">{name}</a> · <a href="/{name}/openapi.json">API</a> · '
        f'<a href="/{name}/readyz">ready?</a> · <a href="/{name}/metrics">metrics</a></li>'
        for name in services
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Shipjury operators</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font:16px/1.6 system-ui;max-width:40rem;'
        "margin:3rem auto;padding:0 1rem;color-scheme:light dark}</style><h1>Operators</h1>"
        f"<p>Keys, budgets, publishing, mail. Readers never come here.</p><ul>{rows}</ul></html>"
    ).encode()

    async def serve(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        found = scope["path"] == "/"
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": page if found else b"Nothing is here."})

    return serve


def forward(base_url: str) -> AsgiApp:
    """Pass requests on to another process on this machine: the edge runner's operators' routes."""
    client = httpx.AsyncClient(base_url=base_url, timeout=30, trust_env=False)

    async def pass_on(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = [(name, value) for name, value in scope["headers"] if name.decode().lower() not in HOP_BY_HOP]
        path = httpx.URL(path=scope["path"], query=scope["query_string"])
        try:
            answer = await client.request(scope["method"], path, headers=headers, content=body)
            status, content = answer.status_code, answer.content
            kept = [(b"content-type", answer.headers.get("content-type", "text/plain").encode())]
        except httpx.HTTPError:
            status, content, kept = 502, b"The edge runner does not answer.", [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": status, "headers": kept})
        await send({"type": "http.response.body", "body": content})

    return pass_on
