"""Health of a process: healthz says it is alive, readyz that it can do its work now, metrics what it counted."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

import sqlalchemy as sa
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from .operators import AsgiApp, Receive, Scope, Send

Check = Callable[[], Awaitable[None]]
"""Raises where what it looks at is not ready; the error's text is shown to operators."""

DEADLINE_SECONDS = 2.0


class NotReady(Exception):
    """Something that this process needs is away; the text says what."""


async def not_ready(checks: Mapping[str, Check], deadline: float = DEADLINE_SECONDS) -> dict[str, str]:
    """What is not ready, and why; empty where all is. Checks run side by side, each within the deadline (seconds)."""

    async def reason(check: Check) -> str | None:
        try:
            await asyncio.wait_for(check(), deadline)
        except TimeoutError:
            return f"no answer within {deadline:g} s"
        except NotReady as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - any failure means: not ready; its text may hold an address
            return type(error).__name__
        return None

    reasons = await asyncio.gather(*(reason(check) for check in checks.values()))
    return {name: why for name, why in zip(checks, reasons, strict=True) if why is not None}


def database_check(database: AsyncEngine | str) -> Check:
    """Whether the database answers; by an engine, or by a connection of its own where only the URL is known."""

    async def check() -> None:
        engine = create_async_engine(database, poolclass=NullPool) if isinstance(database, str) else database
        try:
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
        finally:
            if engine is not database:
                await engine.dispose()

    return check


def broker_check(bootstrap_servers: str) -> Check:
    """Whether any of the brokers accepts a connection."""

    async def check() -> None:
        failed: list[str] = []
        for server in bootstrap_servers.split(","):
            host, _, port = server.strip().rpartition(":")
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError as error:
                failed.append(type(error).__name__)
            else:
                writer.close()
                return
        raise NotReady(f"no broker reachable ({', '.join(failed)})")

    return check


def with_health(app: AsgiApp, service: str, checks: Mapping[str, Check]) -> AsgiApp:
    """The app, with ``/<service>/healthz``, ``readyz`` and ``metrics`` in front of it."""

    async def healthz() -> tuple[int, str, bytes]:
        return 200, "application/json", b'{"status":"alive"}'

    async def readyz() -> tuple[int, str, bytes]:
        missing = await not_ready(checks)
        body = {"status": "not ready" if missing else "ready", "checked": sorted(checks), "missing": missing}
        return 503 if missing else 200, "application/json", json.dumps(body).encode()

    async def metrics() -> tuple[int, str, bytes]:
        return 200, CONTENT_TYPE_LATEST, generate_latest()

    routes = {f"/{service}/{route.__name__}": route for route in (healthz, readyz, metrics)}

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        route = routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} else None
        if route is None:
            await app(scope, receive, send)
            return
        status, content_type, body = await route()
        headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})

    return served


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """The app of a process that has no routes of its own."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
