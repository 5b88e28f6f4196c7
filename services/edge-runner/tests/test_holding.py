"""Several models on one node: the least recently used makes room, a busy one stays, and what is wanted is kept."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_runner.domain.fit import MARGIN_BYTES
from edge_runner.domain.holdings import Desired, Resident, Wanted, make_room
from edge_runner.holding import Book

from . import tiny
from .conftest import RunningNode, start, wait_for

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20


def resident(name: str, mib: int, last_used: float, *, busy: bool = False) -> Resident:
    return Resident(name, mib * MIB, busy, last_used)


def room(mib: int, budget: int, *residents: Resident) -> tuple[str, ...] | None:
    return make_room(mib * MIB, budget * MIB + MARGIN_BYTES, residents)


def test_what_fits_beside_the_others_unloads_nothing() -> None:
    assert room(100, 300, resident("a", 200, 1)) == ()


def test_the_least_recently_used_makes_room() -> None:
    assert room(100, 300, resident("a", 100, 3), resident("b", 100, 1), resident("c", 100, 2)) == ("b",)
    assert room(200, 300, resident("a", 100, 3), resident("b", 100, 1), resident("c", 100, 2)) == ("b", "c")


def test_a_busy_model_is_never_unloaded() -> None:
    assert room(100, 200, resident("a", 100, 1, busy=True), resident("b", 100, 2)) == ("b",)
    assert room(200, 200, resident("a", 100, 1, busy=True), resident("b", 100, 2)) is None


def test_a_model_whose_room_is_not_needed_stays() -> None:
    assert room(300, 400, resident("small", 50, 1), resident("large", 350, 2)) == ("large",)


def test_what_is_wanted_is_kept_over_restarts_and_a_broken_file_is_as_none(tmp_path: Path) -> None:
    book = Book(tmp_path, "node/1")
    assert book.desired is None
    wanted = Desired(3, (Wanted("a", 512), Wanted("b", slots=2)), cordoned=True)
    book.keep(wanted)
    book.answered("a", "sha; 512")
    again = Book(tmp_path, "node/1")
    assert again.desired == wanted
    assert again.has_answered("a", "sha; 512")
    assert not again.has_answered("a", "sha; 1024")
    assert Book(tmp_path, "node-2").desired is None
    (file,) = tmp_path.iterdir()
    file.write_text('{"desired": {"generation"')
    assert Book(tmp_path, "node/1").desired is None


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that should hold three tiny models, and has memory for two."""
    folder = tmp_path_factory.mktemp("crowded")
    models = tiny.model_list(folder, a="", b="", c="")
    book = Book(folder, "node-1")
    book.keep(Desired(1, tuple(Wanted(name) for name in "abc")))
    given = tiny.settings(folder, model_list=str(models), memory=tiny.memory_for(2), queue="4", load_seconds="1")
    running = start(folder, "a", **given)
    wait_for(lambda: held(running).keys() == {"a", "b", "c"} and settled(running), 60, running)
    yield running
    running.stop()


def held(node: RunningNode) -> Mapping[str, Any]:
    found: Mapping[str, Any] = node.readyz().json()["models"]
    return found


def states(node: RunningNode) -> list[str]:
    return sorted(model["state"] for model in held(node).values())


def loaded(node: RunningNode) -> set[str]:
    return {name for name, model in held(node).items() if model["state"] == "ready"}


def settled(node: RunningNode) -> bool:
    """Every model has answered once, and those that had no room were put aside again."""
    return states(node) == ["ready", "ready", "unloaded"]


def ask(node: RunningNode, model: str, **body: Any) -> httpx.Response:
    return node.post("/completions", **{"model": model, "prompt": "one two", "max_tokens": 4} | body)


def test_a_model_that_is_not_in_memory_is_loaded_when_it_is_asked_for(crowded: RunningNode) -> None:
    for model in ("a", "b", "c", "a"):
        before = loaded(crowded)
        wait_for(lambda: answered(crowded, model), 60, crowded)  # noqa: B023  # called within the round
        after = loaded(crowded)
        assert model in after
        assert len(after) == 2
        if model not in before:
            assert len(before - after) == 1
    assert loaded(crowded) == {"a", "c"}
    assert len(crowded.engines()) == 2
    assert crowded.readyz().status_code == 200


async def test_a_model_that_serves_is_not_unloaded_and_who_waits_in_vain_is_told_when_to_come_back(
    crowded: RunningNode,
) -> None:
    here = sorted(loaded(crowded))
    (away,) = {"a", "b", "c"} - {*here}
    url, long = crowded.base_url + "/completions", {"prompt": "on and on", "max_tokens": 4000, "stream": True}
    async with httpx.AsyncClient(timeout=60) as client, contextlib.AsyncExitStack() as open_streams:
        streams = []
        for model in here:
            body = long | {"model": model, "logit_bias": {"2": -100}}
            stream = await open_streams.enter_async_context(client.stream("POST", url, json=body))
            streams.append(stream.aiter_lines())
            await anext(streams[-1])
        refused = await asyncio.to_thread(ask, crowded, away)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_loading")
        assert int(refused.headers["Retry-After"]) >= 1
        assert sorted(loaded(crowded)) == here
        for stream in streams:
            assert "error" not in await anext(stream) + await anext(stream)
    wait_for(lambda: answered(crowded, away), 60, crowded)
    assert away in loaded(crowded)


def answered(node: RunningNode, model: str) -> bool:
    """Whether it answers now; who must wait longer than the node lets anybody is told so, and asks again."""
    answer = ask(node, model)
    assert answer.status_code == 200 or answer.json()["error"]["code"] == "model_loading", answer.text
    return answer.status_code == 200
