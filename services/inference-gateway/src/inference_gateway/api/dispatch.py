"""The public ASGI app: completions go straight to the request path, everything else to FastAPI. Other APIs' requests
are translated on the way."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ..domain.errors import GatewayError
from . import messages, responses
from .asked import ENDPOINTS
from .http import Receive, Scope, Send, respond_error
from .messages import Messages, with_bearer
from .requests import Requests
from .responses import Responses
from .translated import Api, Translated

_log = structlog.get_logger("inference_gateway.api")


@dataclass(frozen=True, slots=True)
class _Route:
    """The route's name, as measurements look for it."""

    path: str


_ROUTES = {path: _Route(path) for path in ENDPOINTS}
_TRANSLATED: dict[str, Callable[[Scope], Api]] = {messages.PATH: Messages, responses.PATH: Responses}


class Dispatch:
    """Routes by path. A fault of the gateway itself becomes a 500 in OpenAI's shape, and a line in the log."""

    def __init__(self, requests: Requests, rest: object) -> None:
        self._requests = requests
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http" or scope["path"] not in ENDPOINTS:
            await self._serve_rest(scope, receive, send)
            return
        scope["route"] = _ROUTES[scope["path"]]
        api = _TRANSLATED.get(scope["path"])
        if api is not None:
            scope = with_bearer(scope)
            between = Translated(api(scope), receive, send)
            receive, send = between.receive, between.send
        started = False

        async def watched(message: dict[str, object]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._requests(scope, receive, watched)  # type: ignore[arg-type]
        except Exception:
            _log.exception("a request failed by the gateway's fault", path=scope["path"])
            if started:
                raise
            await respond_error(send, GatewayError("internal_error", "a fault of the gateway"), [])

    async def _serve_rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = with_bearer(scope)
            if scope["path"].startswith(messages.PATH + "/"):
                send = Translated(Messages(scope), receive, send).send
        await self._rest(scope, receive, send)  # type: ignore[operator]
