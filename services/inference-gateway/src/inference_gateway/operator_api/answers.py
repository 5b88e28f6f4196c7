"""What operators' routes answer with."""

from typing import Any

import orjson
from fastapi import Response


def json_answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
