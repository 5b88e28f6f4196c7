"""What operators' routes answer with: JSON, and problem details (RFC 9457)."""

from typing import Any

import orjson
from fastapi import Response


def json_answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


def problem(status: int, title: str, detail: str, **more: Any) -> Response:
    """Problem details; ``more`` are members of their own, such as ``errors`` with file, line and field."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail} | more
    return Response(orjson.dumps(body), status_code=status, media_type="application/problem+json")
