"""Errors as RFC 9457 problem documents, each with what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from shipjury_delivery.database import is_transient

from ..store.patience import Unavailable
from ..store.writer import Overloaded

_log = structlog.get_logger("votes.api")

TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    422: "Invalid input",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class FieldError(BaseModel):
    """What is wrong with one field of the input."""

    field: str = Field(description="Where it is, such as `body.verdict`.")
    detail: str = Field(description="What is wrong with it.")


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(default="about:blank", description="Kind of the problem.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What happened and what to do.")
    errors: list[FieldError] | None = Field(default=None, description="Fields that are wrong.")
    current: dict[str, Any] | None = Field(default=None, description="On a conflict: the state as it is now.")


class Problem(Exception):
    """Answered as a problem document."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers, more


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """The response of a problem; ``more`` are further members of the document."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail} | more
    return JSONResponse(
        body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type="application/problem+json"
    )


def retry_later(seconds: float, status: int, detail: str) -> Problem:
    """A problem that passes by itself after some seconds."""
    return Problem(status, detail, headers={"Retry-After": str(max(1, round(seconds)))})


def answer_with_problems(app: FastAPI) -> None:
    """Have every error of an app answered as a problem document."""

    @app.exception_handler(Problem)
    async def _own(_: Request, error: Problem) -> Response:
        return problem(error.status, error.detail, error.headers, **error.more)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        return problem(422, "The input is not valid; see errors.", errors=_fields(error.errors()))

    @app.exception_handler(Overloaded)
    @app.exception_handler(Unavailable)
    async def _later(_: Request, error: Overloaded | Unavailable) -> Response:
        return problem(503, f"Votes can't be taken now: {error}.", {"Retry-After": str(error.retry_after)})

    @app.exception_handler(sa.exc.SQLAlchemyError)
    @app.exception_handler(OSError)
    async def _database(_: Request, error: Exception) -> Response:
        if is_transient(error):
            return problem(503, "The database does not answer.", {"Retry-After": str(Unavailable.retry_after)})
        _log.error("a request failed", error=type(error).__name__, exc_info=error)
        return problem(500, "Something went wrong on our side.")


def _fields(errors: Sequence[Any]) -> list[dict[str, str]]:
    return [{"field": ".".join(str(part) for part in error["loc"]), "detail": error["msg"]} for error in errors]


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of OpenAPI for the problems that a route may answer with."""
    return {
        status: {
            "description": TITLES[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status in statuses
    }


def in_words(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of OpenAPI for problems that are told to a reader as a page."""
    return {
        status: {"description": TITLES[status], "content": {"text/html": {"schema": {"type": "string"}}}}
        for status in statuses
    }
