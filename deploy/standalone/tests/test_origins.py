"""The readers' origin sends whole path segments to services, and leaves the request as it came."""

from typing import Any

import pytest

from shipjury_standalone.origins import by_prefix, index


class Recorder:
    """An ASGI app that keeps the scopes it was called with."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(dict(scope))


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/votes/8a", "votes"),
        ("/votes", "votes"),
        ("/v1/chat/completions", "gateway"),
        ("/v1x", "catalog"),
        ("/votesy/8a", "catalog"),
        ("/", "catalog"),
        ("", "catalog"),
        ("*", "catalog"),
        ("/tools/votes", "catalog"),
        ("//votes", "catalog"),
    ],
)
async def test_only_a_whole_first_segment_chooses_the_service(path: str, owner: str) -> None:
    apps = {"votes": Recorder(), "gateway": Recorder(), "catalog": Recorder()}
    route = by_prefix({"votes": apps["votes"], "v1": apps["gateway"]}, apps["catalog"])
    await route({"type": "http", "path": path}, None, None)
    assert [name for name, app in apps.items() if app.scopes] == [owner]


async def test_the_router_leaves_the_request_alone() -> None:
    votes = Recorder()
    scope = {"type": "http", "path": "/votes/8a", "root_path": "", "raw_path": b"/votes/8a", "query_string": b"a=1"}
    await by_prefix({"votes": votes}, Recorder())(scope, None, None)
    assert votes.scopes == [scope]


async def test_the_operators_front_page_names_each_service_and_answers_nothing_else() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    page = index(["gateway", "notifier"])
    await page({"type": "http", "path": "/"}, None, send)
    await page({"type": "http", "path": "/panel/secret"}, None, send)
    assert sent[0]["status"] == 200
    assert b"/gateway/" in sent[1]["body"]
    assert b"/notifier/" in sent[1]["body"]
    assert sent[2]["status"] == 404
