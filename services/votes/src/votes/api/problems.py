"""Errors as RFC 9457 problem documents, each with what to do next."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import Field

from shipjury_delivery.database import is_transient
from shipjury_delivery.problems import ProblemDocument, answer_with_problems, problem, title_of

from ..store.patience import Unavailable
from ..store.writer import Overloaded

_log = structlog.get_logger("votes.api")


class VoteProblem(ProblemDocument):
    """A problem, as votes' routes tell it."""

    current: dict[str, Any] | None = Field(default=None, description="On a conflict: the state as it is now.")


class Problem(Exception):
    """Answered as a problem document."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers, more


def retry_later(seconds: float, status: int, detail: str) -> Problem:
    """A problem that passes by itself after some seconds."""
    return Problem(status, detail, headers={"Retry-After": str(max(1, round(seconds)))})


def answer_all(app: FastAPI) -> None:
    """Have every error of an app answered as a problem document."""
    answer_with_problems(app)

    @app.exception_handler(Problem)
    async def _own(_: Request, error: Problem) -> Response:
        return problem(error.status, error.detail, error.headers, **error.more)

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


def in_words(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of OpenAPI for problems that are told to a reader as a page."""
    return {
        status: {"description": title_of(status), "content": {"text/html": {"schema": {"type": "string"}}}}
        for status in statuses
    }
