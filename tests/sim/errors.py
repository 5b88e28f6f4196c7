"""Each provider's own words when it refuses: status, body and headers in the shape that its API has."""

import json
from typing import Any

from aiohttp import web

from .world import Provider


class Refused(Exception):
    """The provider refuses; ``param`` is the parameter that it objects to, if that is why."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


def unsupported(provider: Provider, param: str, value: Any = None) -> Refused:
    """A parameter that the provider does not take, in its words."""
    if provider.errors in ("mistral", "fireworks"):
        return Refused(422 if provider.errors == "mistral" else 400, "Extra inputs are not permitted", param)
    if provider.errors in ("groq", "cerebras"):
        return Refused(400, f"property '{param}' is unsupported", param, "wrong_api_format")
    if provider.errors == "google":
        return Refused(400, f'Invalid JSON payload received. Unknown name "{param}": Cannot find field.', param)
    if provider.errors == "aws":
        return Refused(400, f"Malformed input request: extraneous key [{param}] is not permitted", param)
    return Refused(400, f"Unsupported parameter: '{param}' is not supported with this model.", param)


def body(provider: Provider, refused: Refused) -> Any:
    """The JSON of a refusal."""
    status, message = refused.status, refused.message
    shape = provider.errors
    if shape == "mistral":
        if status != 422:
            return {"object": "error", "message": message, "type": _type(status), "param": None, "code": refused.code}
        detail = [{"type": "extra_forbidden", "loc": ["body", refused.param], "msg": message, "input": None}]
        return {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error", "param": None}
    if shape == "fireworks":
        named = f"{message}, field: '{refused.param}'" if refused.param else message
        return {"error": {"object": "error", "type": _type(status), "message": named}}
    if shape == "cerebras":
        return {"message": message, "type": _type(status), "param": "validation_error", "code": refused.code}
    if shape == "google":
        named = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        return [{"error": {"code": status, "message": message, "status": named.get(status, "INTERNAL")}}]
    if shape in ("aws", "cohere"):
        return {"message": message}
    if shape == "plain":
        return {"error": message}
    return {
        "error": {"message": message, "type": _type(status), "param": refused.param, "code": refused.code},
    }


def answer(provider: Provider, refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
    """The HTTP answer of a refusal."""
    sent = dict(headers or {})
    if provider.errors == "aws":
        named = {400: "ValidationException", 403: "AccessDeniedException", 404: "ResourceNotFoundException"}
        named |= {429: "ThrottlingException", 503: "ServiceUnavailableException"}
        sent["x-amzn-ErrorType"] = named.get(refused.status, "InternalServerException")
    return web.Response(
        text=json.dumps(body(provider, refused)),
        status=refused.status,
        headers=sent,
        content_type="application/json",
    )


def _type(status: int) -> str:
    return {401: "authentication_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
