"""A body past one of its bounds is told in OpenAI's shape, with what a client may do about it."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from edge_runner.api import errors
from edge_runner.settings import EdgeSettings
from shipjury_delivery.bodies import BodyLimits, bounded


def client(limits: BodyLimits) -> httpx.AsyncClient:
    app = FastAPI()
    errors.install(app)

    @app.post("/v1/it")
    async def it(sent: dict[str, Any]) -> int:
        return len(sent)

    return httpx.AsyncClient(transport=httpx.ASGITransport(bounded(app, limits)), base_url="http://node.test")


@pytest.mark.parametrize(
    ("limits", "content", "status", "code", "kind"),
    [
        (BodyLimits(10), b" " * 11, 413, "body_too_large", "invalid_request_error"),
        (BodyLimits(100_000, together_bytes=90_000), b" " * 95_000, 429, "bodies_full", "rate_limit_error"),
    ],
)
async def test_a_body_past_a_bound_is_an_error_of_openais_shape(
    limits: BodyLimits, content: bytes, status: int, code: str, kind: str
) -> None:
    answer = await client(limits).post("/v1/it", content=content, headers={"content-type": "application/json"})
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], told["type"]) == (status, code, kind)
    assert answer.headers["connection"] == "close"
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


def test_settings_under_which_no_large_body_finds_room_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_BODIES_BYTES", "100000")
    with pytest.raises(ValueError, match=r"EDGE_BODIES_BYTES is 100000, less than one body of EDGE_MAX_BODY_BYTES"):
        EdgeSettings()
