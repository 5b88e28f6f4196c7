"""`/v1/messages`: Anthropic's Messages API in front of the request path."""

from collections.abc import Iterator
from typing import Any

from ..domain import anthropic_answer
from ..domain.anthropic_request import to_chat
from ..domain.translation import drop_of, untranslatable
from .http import Scope, header
from .translated import Events

PATH = "/v1/messages"
_BETAS = ("structured-outputs-", "effort-")
"""What these betas brought is translated; any other may change what a request means."""


def with_bearer(scope: Scope) -> Scope:
    """The scope with Anthropic's `x-api-key` as the bearer token that it is, where there is no other."""
    key = header(scope, b"x-api-key")
    if key is None or header(scope, b"authorization") is not None:
        return scope
    return {**scope, "headers": [*scope["headers"], (b"authorization", b"Bearer " + key)]}


class Messages:
    """One request of the Messages API."""

    def __init__(self, scope: Scope) -> None:
        self._drop = drop_of(header(scope, b"x-shipjury-drop"))
        self._betas = header(scope, b"anthropic-beta") or b""

    def chat(self, body: Any) -> dict[str, Any]:
        """The chat completion body."""
        for beta in _names(self._betas):
            if not beta.startswith(_BETAS) and "anthropic-beta" not in self._drop:
                why = f"`{beta}` has no counterpart at providers"
                raise untranslatable("anthropic-beta", why, drop="anthropic-beta")
        return to_chat(body, self._drop)

    def answer(self, answer: Any, request_id: str) -> dict[str, Any]:
        """A message."""
        return anthropic_answer.message(answer, _message_id(request_id))

    def events(self, request_id: str) -> Events:
        """A message, event by event."""
        return anthropic_answer.Events(_message_id(request_id))

    def error(self, body: Any, status: int, request_id: str | None) -> dict[str, Any]:
        """An error in Anthropic's shape."""
        return anthropic_answer.error(body, status, request_id)


def _names(value: bytes) -> Iterator[str]:
    return (name.strip() for name in value.decode("latin-1").split(",") if name.strip())


def _message_id(request_id: str) -> str:
    return "msg_" + request_id.removeprefix("req_")
