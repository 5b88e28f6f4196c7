"""Errors of the panel's own APIs, as RFC 9457 problem details."""

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

_MEDIA = "application/problem+json"


def answer_with_problems(app: FastAPI) -> None:
    """Give every error of the app this shape."""

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        title = str(error.detail) if error.status_code >= 400 else "Error"
        body = {"type": "about:blank", "title": title, "status": error.status_code, "detail": title}
        return JSONResponse(body, error.status_code, headers=error.headers, media_type=_MEDIA)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"field": ".".join(map(str, one["loc"])), "detail": one["msg"]} for one in error.errors()]
        body = {
            "type": "about:blank",
            "title": "The request is malformed",
            "status": 422,
            "detail": errors[0]["detail"],
        }
        return JSONResponse({**body, "errors": errors}, 422, media_type=_MEDIA)


def missing(what: str) -> HTTPException:
    """A 404 that says what is missing."""
    return HTTPException(404, what)
