"""The public ASGI app: completions go straight to the request path, everything else to FastAPI."""

from dataclasses import dataclass

import structlog

from ..domain.errors import GatewayError
from .asked import ENDPOINTS
from .http import Receive, Scope, Send, respond_error
from .requests import Requests

_log = structlog.get_logger("inference_gateway.api")


@dataclass(frozen=True, slots=True)
class _Route:
    """The route's name, as measurements look for it."""

    path: str


_ROUTES = {path: _Route(path) for path in ENDPOINTS}


class Dispatch:
    """Routes by path. A fault of the gateway itself becomes a 500 in OpenAI's shape, and a line in the log."""

    def __init__(self, requests: Requests, rest: object) -> None:
        self._requests = requests
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http" or scope["path"] not in ENDPOINTS:
            await self._rest(scope, receive, send)  # type: ignore[operator]
            return
        scope["route"] = _ROUTES[scope["path"]]
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
