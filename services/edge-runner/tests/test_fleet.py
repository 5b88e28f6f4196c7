"""Two nodes and the real gateway: deployed by event, routed to, steered, and one killed with streams open."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_runner.cli import commands

from . import tiny
from .fleet_world import OPERATORS, Fleet, fleet

pytestmark = pytest.mark.timeout(400)

RESTRICTED = 'licence = { name = "Only-For-Friends", restricts = "friends only", source = "https://example.org" }'
NOWHERE = 'weights = [{ quantization = "Q4_K_M", sources = [{ path = "/nowhere", file = "none.gguf" }] }]'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, embedded_postgres: Any, _redis_server: Any) -> Iterator[Fleet]:
    """Two nodes that began with `a`: one in the attic, one in the cellar."""
    folder = tmp_path_factory.mktemp("fleet")
    entries = {"a": "", "b": "", "c": "", "missing": NOWHERE, "kept": f"{RESTRICTED}\n{NOWHERE}"}
    with fleet(folder, embedded_postgres, _redis_server.url, **entries) as made:
        made.start("attic", labels='{"room": "attic"}')
        made.start("cellar", labels='{"room": "cellar"}')
        for name in ("attic", "cellar"):
            made.until(lambda: made.is_at(name, "a", "ready"))  # noqa: B023  # called within the round
        yield made


def routed(world: Fleet, model: str, node: str, **body: Any) -> bool:
    answer = world.ask(model, **body)
    return answer.status_code == 200 and answer.headers["x-shipjury-provider"] == node


def test_a_deployed_model_is_routed_to_when_it_has_answered_and_the_same_again_changes_nothing(world: Fleet) -> None:
    assert world.ask("b").status_code == 404
    (told,) = world.deploy("b", node="attic")
    assert (told["generation"], told["new"], [one["model"] for one in told["models"]]) == (1, True, ["a", "b"])
    world.until(lambda: world.is_at("attic", "b", "ready"))
    world.until(lambda: routed(world, "b", "attic"))
    world.until(lambda: world.told("attic")["generation"] == 1)
    (again,) = world.deploy("b", node="attic")
    assert (again["generation"], again["new"]) == (1, False)
    assert world.is_at("attic", "a", "ready")
    assert world.model("attic", "b")["estimated_bytes"] == tiny.needs()
    assert world.model("attic", "b")["tokens_per_second"] > 0


def test_what_cannot_be_held_says_why_and_what_runs_goes_on(world: Fleet) -> None:
    world.deploy("a", node="cellar", context_tokens=8192, slots=64)
    world.deploy("missing", node="cellar")
    world.deploy("kept", node="cellar")
    world.deploy("gpt-9", node="cellar")
    codes = {"a": "does_not_fit", "missing": "source_missing", "kept": "licence_not_accepted", "gpt-9": "unknown_model"}
    for model, code in codes.items():
        world.until(lambda: world.model("cellar", model).get("reason_code") == code)  # noqa: B023
    assert "MiB and this node has" in world.model("cellar", "a")["reason"]
    assert "--accept-licence Only-For-Friends" in world.model("cellar", "kept")["reason"]
    assert world.is_at("cellar", "missing", "failed")
    assert world.is_at("cellar", "a", "ready")
    world.until(lambda: routed(world, "a", "cellar", provider={"only": ["edge"], "labels": {"room": "cellar"}}))
    world.deploy("kept", node="cellar", accept_licence="Only-For-Friends")
    world.until(lambda: world.model("cellar", "kept").get("reason_code") == "source_missing")
    for model in ("missing", "kept", "gpt-9"):
        assert world.operate("DELETE", f"/gateway/admin/deployments/cellar/{model}").status_code == 202
    world.deploy("a", node="cellar")
    world.until(lambda: [one["model"] for one in world.told("cellar")["models"]] == ["a"])
    world.until(lambda: not world.model("cellar", "a")["reason"])
    assert world.operate("DELETE", "/gateway/admin/deployments/cellar/b").status_code == 404
    assert "attic, cellar" in world.operate("POST", "/gateway/admin/nodes/roof/cordon").json()["detail"]


def test_a_cordoned_node_finishes_what_runs_and_gets_nothing_new(world: Fleet) -> None:
    here = {"only": ["edge"], "labels": {"room": "cellar"}}
    world.until(lambda: routed(world, "a", "cellar", provider=here))
    with world.stream("a", provider=here) as lines:
        assert next(lines)
        assert world.operate("POST", "/gateway/admin/nodes/cellar/cordon").status_code == 202
        world.until(lambda: world.ask("a", provider=here).status_code == 503)
        refused = world.ask("a", provider=here).json()["error"]
        assert [one["rule"] for one in refused["ruled_out"] if one["provider"] == "cellar"] == ["node_cordoned"]
        world.until(lambda: world.told("cellar")["cordoned"])
        node = world.nodes[1]
        direct = node.post("/completions", model="a", prompt="x", max_tokens=1)
        assert (direct.status_code, direct.json()["error"]["code"]) == (503, "node_cordoned")
        assert routed(world, "a", "attic")
        assert '"text"' in next(line for line in lines if line)
        assert world.operate("POST", "/gateway/admin/nodes/cellar/drain").status_code == 202
    world.until(lambda: world.model("cellar", "a")["resident_bytes"] == 0)
    assert node.engines() == []
    page = world.operate("GET", "/gateway/admin/fleet").text
    assert "cellar <span class=bad>draining, drained</span>" in page
    assert "<script" not in page
    assert world.operate("POST", "/gateway/admin/nodes/cellar/uncordon").status_code == 202
    world.until(lambda: routed(world, "a", "cellar", provider=here))


def test_operators_see_and_steer_the_fleet_with_one_command(world: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_GATEWAY_OPERATOR_URL", f"http://127.0.0.1:{world.operator_port}")
    monkeypatch.setenv("EDGE_GATEWAY_OPERATOR_KEY", OPERATORS)

    def edge(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(commands, words)
        return result.exit_code, f"{result.output}{result.exception or ''}"

    status, said = edge("deploy", "c", "--label", "room=attic", "--context", "512", "--wait", "240")
    assert (status, "c: ready, 512 tokens x 1" in said) == (0, True), said
    status, said = edge("nodes")
    assert status == 0
    assert re.search(r"attic: ready .* deployment 2 of 2  room=attic", said), said
    assert re.search(r"c: ready, 512 tokens x 1, \d+ MiB \(estimate \d+\), \d+\.\d tokens/s", said), said
    assert edge("cordon", "cellar")[1].startswith("cellar: cordoned, generation ")
    assert edge("uncordon", "cellar")[1].startswith("cellar: open, generation ")
    status, said = edge("deploy", "missing", "--node", "attic", "--wait", "240")
    assert (status, "missing: failed, none.gguf is not in /nowhere" in said) == (1, True), said
    assert edge("withdraw", "missing", "--node", "attic")[0] == 0
    assert edge("withdraw", "c", "--node", "attic") == (0, "attic: generation 5\n")
    status, said = edge("drain", "roof")
    assert (status, "no node 'roof'; known are: attic, cellar" in said) == (1, True), said


def test_a_killed_node_ends_its_streams_with_an_error_and_the_gateway_routes_on(world: Fleet) -> None:
    attic = world.nodes[0]
    in_attic = {"order": ["attic"], "only": ["edge"]}
    world.until(lambda: routed(world, "a", "attic", provider=in_attic))
    with world.stream("a", provider=in_attic) as lines:
        assert next(line for line in lines if line)
        attic.process.kill()
        rest = [line for line in lines if line]
        said = json.loads(rest[-1].removeprefix("data: "))
        assert said["error"]["code"] == "stream_cut"
        assert "[DONE]" not in rest[-1]
    after = world.ask("a", provider=in_attic)
    assert (after.status_code, after.headers["x-shipjury-provider"]) == (200, "cellar")
    assert routed(world, "a", "cellar")


def test_a_node_holds_again_after_a_restart_what_was_deployed_on_it(world: Fleet) -> None:
    world.start("attic", labels='{"room": "attic"}')
    world.until(lambda: world.is_at("attic", "b", "ready") and world.is_at("attic", "a", "ready"))
    assert world.told("attic")["generation"] == 5
    world.until(lambda: routed(world, "b", "attic"))
