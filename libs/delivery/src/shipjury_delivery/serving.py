"""Serving ASGI apps with uvicorn inside our own loop: our signals, our stop, and errors that name the port."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator, MutableMapping
from typing import Any

import uvicorn
from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Histogram

from .arriving import ArrivingProtocol, watch_arriving
from .metrics import REQUESTS
from .operators import AsgiApp, Receive, Scope, Send
from .telemetry import exporting, ids_only, tracer

GRACE_SECONDS = 5


class PortInUse(Exception):
    """Somebody else listens on the address; the text says which and how to choose another."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process: many servers share it."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises :class:`PortInUse`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise PortInUse(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    listening.listen(2048)
    listening.setblocking(False)
    return listening


async def serve(app: AsgiApp, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve until ``stop``; then finish what is in flight, for a few seconds at most."""
    server = _Server(
        uvicorn.Config(
            app,
            http=ArrivingProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn would believe X-Forwarded-For of any local peer; services name their proxies
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    watching = asyncio.create_task(watch_arriving(server.server_state.connections))
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        watching.cancel()
        if not serving.done():  # cancelled: don't leave the socket open
            serving.cancel()
        listening.close()


def instrumented(app: AsgiApp, service: str, port: str) -> AsgiApp:
    """The app, with a span and a duration for each request, by route template; paths themselves are not recorded."""
    propagator = TraceContextTextMapPropagator()
    spans = tracer(service)
    durations: dict[tuple[str, str, int], Histogram] = {}

    def observe(method: str, route: str, status: int, seconds: float) -> None:
        duration = durations.get((method, route, status))
        if duration is None:
            duration = REQUESTS.labels(service, port, method, route, str(status))
            durations[method, route, status] = duration
        duration.observe(seconds)

    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        if not exporting():
            token = context.attach(trace.set_span_in_context(ids_only(_traceparent(scope))))
            try:
                await app(scope, receive, sending)
            finally:
                context.detach(token)
                route = getattr(scope.get("route"), "path", None) or "unmatched"
                observe(method, route, status, time.perf_counter() - began)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        with spans.start_as_current_span(
            method,
            context=propagator.extract(headers),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "server.name": service},
        ) as span:
            try:
                await app(scope, receive, sending)
            finally:
                route = getattr(scope.get("route"), "path", None) or "unmatched"
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})
                observe(method, route, status, time.perf_counter() - began)

    return measured


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return str(value, "latin-1")
    return None


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
