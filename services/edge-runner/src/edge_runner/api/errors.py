"""Errors in OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``. The README lists the codes."""

from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..admission import Busy
from ..engines.client import EngineRefused, EngineStopped


class ApiError(Exception):
    """An answer that is an error. ``extra`` fields (numbers, say) stand beside the message."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.retry_after, self.extra = retry_after, extra

    def body(self) -> dict[str, Any]:
        """The error as it is sent, in a response or inside a stream."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status, kind)
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code, **self.extra}}


def error_of(error: Exception) -> ApiError:
    """What a client is told of an engine's or a gate's error."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        return ApiError(error.status, error.code, str(error), retry_after=error.retry_after)
    if isinstance(error, EngineStopped):
        return ApiError(502, "engine_stopped", "the engine stopped before the answer was whole", retry_after=1)
    if isinstance(error, EngineRefused):
        return _refused(error)
    raise error


def too_long(prompt_tokens: int | None, max_tokens: int | None, context: int, param: str = "messages") -> ApiError:
    """413 with the numbers."""
    asked = f"{prompt_tokens} tokens of prompt" + (f" and {max_tokens} of completion" if max_tokens else "")
    return ApiError(
        413,
        "context_length_exceeded",
        f"{asked} exceed the context of {context} tokens",
        param=param,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        context_tokens=context,
    )


def install(app: FastAPI) -> None:
    """Make every error of the app one of OpenAI's shape."""

    async def answer(_: Request, error: Exception) -> Response:
        return response_of(error_of(error))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this type only
        return response_of(_invalid(error))

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for this type only
        told = response_of(_http(error))
        told.headers.update(error.headers or {})
        return told

    for kind in (ApiError, Busy, EngineStopped, EngineRefused):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def response_of(error: ApiError) -> Response:
    """The error as a response."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    return Response(orjson.dumps(error.body()), error.status, headers, "application/json")


def _http(error: HTTPException) -> ApiError:
    if error.status_code == 503:  # of our bounds on bodies; elsewhere a full node says 429
        return ApiError(429, "bodies_full", error.detail)
    codes = {405: "method_not_allowed", 413: "body_too_large"}
    return ApiError(error.status_code, codes.get(error.status_code, "not_found"), str(error.detail))


def _refused(error: EngineRefused) -> ApiError:
    if error.error.get("type") == "exceed_context_size_error":
        return too_long(error.error.get("n_prompt_tokens"), None, error.error.get("n_ctx", 0))
    if error.status == 503:
        return ApiError(503, "model_loading", "the engine is loading the model", retry_after=2)
    if 400 <= error.status < 500:
        return ApiError(400, "engine_refused", str(error))
    return ApiError(502, "engine_error", str(error))


def _invalid(error: RequestValidationError) -> ApiError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        return ApiError(400, "invalid_json", f"the body is not JSON: {first.get('ctx', {}).get('error', '')}")
    if first["type"] == "extra_forbidden":
        return ApiError(400, "unknown_parameter", f"unknown parameter: {where}", param=where)
    if first["type"] in ("literal_error", "none_required"):
        return ApiError(400, "unsupported_parameter", f"{where}: not supported here: {first['msg']}", param=where)
    said = first["msg"].removeprefix("Value error, ")
    return ApiError(400, "invalid_parameter", f"{where}: {said}" if where else said, param=where or None)
