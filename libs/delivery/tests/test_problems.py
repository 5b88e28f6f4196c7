"""Every refusal has one shape, and tells nobody what was sent."""

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from shipjury_delivery.problems import MEDIA, answer_with_problems, documented, problem, with_schema


class Sent(BaseModel):
    name: str
    secret: int


def client() -> httpx.AsyncClient:
    app = FastAPI()
    answer_with_problems(app)

    @app.post("/it", responses=documented(409, 422))
    async def it(sent: Sent) -> object:
        if sent.name == "later":
            raise StarletteHTTPException(503, "come back", {"Retry-After": "7"})
        if sent.name == "taken":
            return problem(409, "the name is taken", current="somebody's")
        raise HTTPException(404, "there is no such thing")

    with_schema(app.openapi())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://it.test")


@pytest.mark.parametrize(
    ("name", "status", "title", "detail"),
    [
        ("later", 503, "Service Unavailable", "come back"),
        ("taken", 409, "Conflict", "the name is taken"),
        ("none", 404, "Not Found", "there is no such thing"),
    ],
)
async def test_a_refusal_is_a_problem(name: str, status: int, title: str, detail: str) -> None:
    answer = await client().post("/it", json={"name": name, "secret": 1})
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("retry-after") == ("7" if status == 503 else None)
    more = {"current": "somebody's"} if status == 409 else {}
    assert answer.json() == {"type": "about:blank", "title": title, "status": status, "detail": detail} | more


async def test_wrong_fields_are_named_and_not_told_back() -> None:
    answer = await client().post("/it", json={"secret": "hunter2"})
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["body.name", "body.secret"]
    assert "body.name: Field required; body.secret: " in answer.json()["detail"]
    assert "hunter2" not in answer.text


async def test_what_fastapi_itself_refuses_is_a_problem_too() -> None:
    for answer in (await client().get("/it"), await client().get("/elsewhere")):
        assert answer.headers["content-type"] == MEDIA


async def test_the_description_of_an_app_knows_the_shape() -> None:
    described = (await client().get("/openapi.json")).json()
    schema = described["paths"]["/it"]["post"]["responses"]["409"]["content"][MEDIA]["schema"]
    assert schema == {"$ref": "#/components/schemas/ProblemDocument"}
    assert {"ProblemDocument", "FieldError"} <= set(described["components"]["schemas"])
