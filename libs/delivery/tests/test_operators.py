"""The guard of the operators' port."""

import base64

import httpx
import pytest

from shipjury_delivery.operators import Receive, Scope, Send, guard

KEY = "a-long-key"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"behind the guard"})


def _client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=guard(_app, KEY, "votes"))
    return httpx.AsyncClient(transport=transport, base_url="http://operators.test:8001")


def _basic(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("headers", [BEARER, _basic(KEY)])
async def test_the_key_opens(headers: dict[str, str]) -> None:
    async with _client() as client:
        assert (await client.get("/votes/tallies", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer a-long-ke"},
        {"authorization": f"Token {KEY}"},
        {"authorization": "Basic not base64"},
        {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"authorization": "Basic " + base64.b64encode(KEY.encode()).decode()},  # as user name, without password
        _basic("wrong"),
        {"authorization": "Bearer ключ".encode()},
    ],
)
async def test_nothing_else_opens(headers: dict[str, str]) -> None:
    async with _client() as client:
        refused = await client.get("/votes/tallies", headers=headers)
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("path", ["/votes/healthz", "/votes/readyz", "/votes/metrics"])
async def test_probes_and_prometheus_need_no_key(path: str) -> None:
    async with _client() as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.post(path)).status_code == 401


@pytest.mark.parametrize(
    "path", ["/catalog/healthz", "/healthz", "/votes/healthz/", "/votes//healthz", "/votes/metricsx"]
)
async def test_paths_that_only_look_like_probes_need_the_key(path: str) -> None:
    async with _client() as client:
        assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://operators.test:8001"},
        {"origin": "http://operators.test:9999"},
    ],
)
async def test_another_site_cannot_use_the_browser_s_key(headers: dict[str, str]) -> None:
    async with _client() as client:
        assert (await client.post("/votes/tallies", headers=headers | _basic(KEY))).status_code == 403
        assert (await client.get("/votes/tallies", headers=headers | _basic(KEY))).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"origin": "http://operators.test:8001"}, {"sec-fetch-site": "same-origin"}])
async def test_our_own_pages_and_programs_may_change_things(headers: dict[str, str]) -> None:
    async with _client() as client:
        assert (await client.post("/votes/tallies", headers=headers | BEARER)).status_code == 200


def test_an_empty_key_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="empty"):
        guard(_app, "", "votes")
