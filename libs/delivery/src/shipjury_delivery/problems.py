"""Errors as problem details (RFC 9457): one shape for every API of ours but those that speak OpenAI's."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MEDIA = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one field of the input."""

    field: str = Field(description="Where it is, such as `body.verdict`.")
    detail: str = Field(description="What is wrong with it.")
    line: int | None = Field(default=None, description="Line of the file, where the input is one.")
    file: str | None = Field(default=None, description="Name of the file, where there are several.")


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(default="about:blank", description="Kind of the problem; `about:blank` is that of the status.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What happened and what to do.")
    errors: list[FieldError] | None = Field(default=None, description="Fields that are wrong.")


def title_of(status: int) -> str:
    """A status in words."""
    return HTTPStatus(status).phrase


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """The response of a problem; ``more`` are further members of the document, such as ``errors``."""
    body = {"type": "about:blank", "title": title_of(status), "status": status, "detail": detail} | more
    return JSONResponse(body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA)


def answer_with_problems(app: Starlette) -> None:
    """Have an app of FastAPI answer with problems where it or FastAPI refuses a request."""
    from fastapi.exceptions import RequestValidationError  # half a second that a command need not wait

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
        return problem(error.status_code, str(error.detail), error.headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
        # What was sent is not told back: it may hold a secret.
        errors = [{"field": ".".join(str(part) for part in one["loc"]), "detail": one["msg"]} for one in error.errors()]
        told = "; ".join(f"{one['field']}: {one['detail']}" for one in errors)
        return problem(422, f"The input is not valid: {told}", errors=errors)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of OpenAPI for the problems that a route may answer with; see :func:`with_schema`."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {status: {"description": title_of(status), "content": {MEDIA: {"schema": schema}}} for status in statuses}


def with_schema(openapi: dict[str, Any], document: type[ProblemDocument] = ProblemDocument) -> None:
    """Put the schema that :func:`documented` refers to into an OpenAPI document."""
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    schema = document.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {}) | {"ProblemDocument": schema}
