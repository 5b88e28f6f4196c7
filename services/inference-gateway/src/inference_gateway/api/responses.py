"""`/v1/responses`: OpenAI's Responses API in front of the request path."""

from typing import Any

from ..domain import responses_answer
from ..domain.responses_request import echo, to_chat
from ..domain.responses_stream import Events
from ..domain.translation import drop_of
from .http import Scope, header

PATH = "/v1/responses"


class Responses:
    """One request of the Responses API."""

    def __init__(self, scope: Scope) -> None:
        self._drop = drop_of(header(scope, b"x-shipjury-drop"))
        self._repeated: dict[str, Any] = {}

    def chat(self, body: Any) -> dict[str, Any]:
        """The chat completion body."""
        made = to_chat(body, self._drop)
        self._repeated = echo(body)
        return made

    def answer(self, answer: Any, request_id: str) -> dict[str, Any]:
        """A response."""
        return responses_answer.response(answer, self._repeated, _response_id(request_id))

    def events(self, request_id: str) -> Events:
        """A response, event by event."""
        return Events(self._repeated, _response_id(request_id))

    def error(self, body: Any, _status: int, _request_id: str | None) -> dict[str, Any]:
        """An error in OpenAI's shape."""
        return responses_answer.error(body)


def _response_id(request_id: str) -> str:
    return "resp_" + request_id.removeprefix("req_")
