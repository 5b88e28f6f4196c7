"""Two nodes and the real gateway: deployed by event, routed to, steered, and one killed with streams open."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_runner.cli import commands
from edge_runner.weights import sha256_of

from . import shapes, tiny
from .fleet_world import OPERATORS, Fleet, fleet
from .hub import Hub, serving

pytestmark = pytest.mark.timeout(400)

RESTRICTED = 'licence = { name = "Only-For-Friends", restricts = "friends only", source = "https://example.org" }'
NOWHERE = 'weights = [{ quantization = "Q4_K_M", sources = [{ path = "/nowhere", file = "none.gguf" }] }]'
FROM_HUB = 'weights = [{{ quantization = "Q4_K_M", sha256 = "{}", sources = [{{ hub = "a/b", file = "tiny.gguf" }}] }}]'
FROM_PATH = (
    'weights = [{{ quantization = "Q4_K_M", sha256 = "{}", sources = [{{ path = "{}", file = "tiny.gguf" }}] }}]'
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that has the tiny model, and nodes that are told of it."""
    file = shapes.write(tmp_path_factory.mktemp("hub") / "tiny.gguf", tiny.SHAPE)
    with serving(Hub(file.read_bytes())) as made, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", made.endpoint)
        environment.delenv("HF_HUB_OFFLINE", raising=False)
        environment.delenv("HF_TOKEN", raising=False)
        yield made


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, embedded_postgres: Any, _redis_server: Any, hub: Hub
) -> Iterator[Fleet]:
    """Two nodes that began with `a`: one in the attic, one in the cellar."""
    folder = tmp_path_factory.mktemp("fleet")
    entries = {"a": "", "b": "", "c": "", "missing": NOWHERE, "kept": f"{RESTRICTED}\n{NOWHERE}"}
    entries |= {"far": FROM_HUB.format(hub.stated), "other": FROM_PATH.format("0" * 64, folder / "models")}
    with fleet(folder, embedded_postgres, _redis_server.url, **entries) as made:
        made.start("attic", labels='{"room": "attic"}', memory=tiny.memory_for(4))
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


def refusal(world: Fleet, model: str, code: str) -> str:
    """What the cellar says, once it says this code; while it tries again it says nothing for a moment."""
    told: dict[str, Any] = {}

    def says_it() -> bool:
        told.update(world.model("cellar", model))
        return told.get("reason_code") == code

    world.until(says_it)
    return str(told["reason"])


def test_what_cannot_be_held_says_why_and_what_runs_goes_on(world: Fleet) -> None:
    world.deploy("a", node="cellar", context_tokens=8192, slots=64)
    world.deploy("missing", node="cellar")
    world.deploy("kept", node="cellar")
    world.deploy("gpt-9", node="cellar")
    codes = {"a": "does_not_fit", "missing": "source_missing", "kept": "licence_not_accepted", "gpt-9": "unknown_model"}
    reasons = {model: refusal(world, model, code) for model, code in codes.items()}
    assert "MiB and this node has" in reasons["a"]
    assert "--accept-licence Only-For-Friends" in reasons["kept"]
    world.until(lambda: world.is_at("cellar", "missing", "failed"))
    assert world.is_at("cellar", "a", "ready")
    world.until(lambda: routed(world, "a", "cellar", provider={"only": ["edge"], "labels": {"room": "cellar"}}))
    world.deploy("kept", node="cellar", accept_licence="Only-For-Friends")
    refusal(world, "kept", "source_missing")
    for model in ("missing", "kept", "gpt-9"):
        assert world.operate("DELETE", f"/gateway/admin/deployments/cellar/{model}").status_code == 202
    world.deploy("a", node="cellar")
    world.until(lambda: [one["model"] for one in world.told("cellar")["models"]] == ["a"])
    world.until(lambda: not world.model("cellar", "a")["reason"])
    assert world.operate("DELETE", "/gateway/admin/deployments/cellar/b").status_code == 404
    assert "attic, cellar" in world.operate("POST", "/gateway/admin/nodes/roof/cordon").json()["detail"]


def test_one_request_is_one_trace_from_its_caller_through_the_gateway_to_the_node(world: Fleet) -> None:
    here = {"only": ["edge"], "labels": {"room": "cellar"}}
    world.until(lambda: routed(world, "a", "cellar", provider=here))
    trace_id, caller = "5af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    answer = world.ask("a", traceparent=f"00-{trace_id}-{caller}-01", provider=here, max_tokens=3)
    assert answer.headers["x-shipjury-provider"] == "cellar"

    def on_node() -> dict[str, dict[str, Any]]:
        return {span["kind"]: span for span in world.nodes[1].spans() if span["trace_id"] == trace_id}

    world.until(lambda: on_node().keys() == {"SERVER", "CLIENT"})
    request, inference = on_node()["SERVER"], on_node()["CLIENT"]
    assert len(request["parent_id"]) == 16
    assert request["parent_id"] != caller, "the gateway's span is between"
    assert inference["parent_id"] == request["span_id"]
    told = inference["attributes"]
    assert (told["gen_ai.operation.name"], told["gen_ai.request.model"]) == ("text_completion", "a")
    assert told["gen_ai.usage.output_tokens"] == answer.json()["usage"]["completion_tokens"]


def test_a_deployed_model_that_is_not_here_is_pulled_verified_served_and_routed_to(world: Fleet, hub: Hub) -> None:
    assert world.ask("far").status_code == 404
    world.deploy("far", node="cellar")
    world.until(lambda: world.is_at("cellar", "far", "ready"))
    assert hub.ranges == [None], "one download, from its beginning"
    assert sha256_of(world.folder / "models" / "cellar" / "far" / "tiny.gguf") == hub.stated
    world.until(lambda: routed(world, "far", "cellar"))
    world.withdraw("far", "cellar")


def test_a_deployed_model_with_a_wrong_hash_is_failed_with_both_and_what_runs_goes_on(world: Fleet, hub: Hub) -> None:
    here = {"only": ["edge"], "labels": {"room": "cellar"}}
    world.until(lambda: routed(world, "a", "cellar", provider=here))
    with world.stream("a", provider=here) as lines:
        assert '"text"' in next(line for line in lines if line)
        world.deploy("other", node="cellar")
        world.until(lambda: world.is_at("cellar", "other", "failed"))
        told = world.model("cellar", "other")
        assert told["reason_code"] == "wrong_hash"
        assert f"sha256 is {hub.stated}, the list says {'0' * 64}" in told["reason"]
        for _ in range(3):
            assert '"text"' in next(line for line in lines if line)
    assert world.is_at("cellar", "a", "ready")
    assert world.ask("other").status_code in (404, 503)
    world.withdraw("other", "cellar")


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


def test_a_killed_node_ends_all_its_streams_with_an_error_and_the_gateway_routes_on(world: Fleet) -> None:
    attic = world.nodes[0]
    in_attic = {"order": ["attic"], "only": ["edge"]}
    world.deploy("a", node="attic", slots=4)
    world.until(lambda: world.told("attic")["generation"] == 6 and world.is_at("attic", "a", "ready"))
    world.until(lambda: routed(world, "a", "attic", provider=in_attic))
    with ExitStack() as open_streams:
        streams = [open_streams.enter_context(world.stream("a", provider=in_attic)) for _ in range(4)]
        for lines in streams:
            assert '"text"' in next(line for line in lines if line)
        assert attic.metric('edge_slots_busy{model="a"}') == 4
        attic.process.kill()
        for lines in streams:
            rest = [line for line in lines if line]
            assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "stream_cut"
    after = world.ask("a", provider=in_attic)
    assert (after.status_code, after.headers["x-shipjury-provider"]) == (200, "cellar")
    assert routed(world, "a", "cellar")


def test_a_node_holds_again_after_a_restart_what_was_deployed_on_it(world: Fleet) -> None:
    world.start("attic", labels='{"room": "attic"}')
    world.until(lambda: world.is_at("attic", "b", "ready") and world.is_at("attic", "a", "ready"))
    assert world.told("attic")["generation"] == 6
    world.until(lambda: routed(world, "b", "attic"))
