"""Edge nodes: folded from their events, routable while they beat, called only inside the allowed networks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from inference_gateway.api.upstream import AddressNotAllowed, Upstreams, inside
from inference_gateway.on_edge_node import on_edge_node
from inference_gateway.settings import Settings
from shipjury_schemas import EdgeNode, Event
from shipjury_schemas.edge_node.v1 import LoadedModel


def node(base_url: str, **changes: Any) -> EdgeNode:
    """A ready node that holds the simulator's model."""
    values: dict[str, Any] = {
        "aggregate_version": 1,
        "node_id": "edge-1",
        "state": "ready",
        "base_url": base_url,
        "engine": "simulated",
        "memory_bytes": 1,
        "heartbeat_seconds": 5,
        "beat_at": datetime.now(UTC),
        "models": (
            LoadedModel(
                model="gpt-sim",
                state="ready",
                context_tokens=2048,
                slots=4,
                max_logprobs=1000,
                capabilities=("chat", "completions", "logprobs"),
            ),
        ),
    }
    return EdgeNode(**values | changes)


async def announce(gateway: Any, *nodes: EdgeNode) -> None:
    """Let the gateway's worker fold these events, and the replica see it."""
    events = [Event(data=one, source="/shipjury/edge-runner") for one in nodes]
    await gateway.change(on_edge_node, events)


async def test_a_ready_node_serves_at_an_explicit_price_of_nothing(start: Any) -> None:
    gateway = await start(edge_token=SecretStr("alpha-secret"))
    await announce(gateway, node(f"{gateway.simulator}/alpha"))
    for model in ("gpt-sim", "gpt-sim:edge", "gpt-sim:edge-1"):
        status, answer, headers = await gateway.post(
            "/v1/completions", model=model, prompt="This is a big", max_tokens=1, logprobs=1000
        )
        assert status == 200, answer
        assert headers["x-shipjury-provider"] == "edge-1"
        assert len(answer["choices"][0]["logprobs"]["top_logprobs"][0]) == 1000
    rows = await gateway.ledger()
    assert [(row["cost_nano_usd"], row["price_version"]) for row in rows] == [(0, "edge/free")] * 3


async def test_a_configured_price_of_nodes_is_billed_and_named(start: Any) -> None:
    gateway = await start(edge_token=SecretStr("alpha-secret"), edge_input_price="0.1", edge_output_price="0.2")
    await announce(gateway, node(f"{gateway.simulator}/alpha/v1"))
    await gateway.chat("words=5", model="gpt-sim")
    [row] = await gateway.ledger()
    assert row["price_version"] == "edge/configured:0.1:0.2"
    assert row["cost_nano_usd"] == row["input_tokens"] * 100 + row["output_tokens"] * 200


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"beat_at": datetime(2026, 1, 1, tzinfo=UTC)}, "heartbeat_stale"),
        ({"state": "draining"}, "node_draining"),
        ({"state": "stopped"}, "node_stopped"),
    ],
)
async def test_a_node_that_does_not_take_requests_is_not_routable(start: Any, changes: Any, rule: str) -> None:
    gateway = await start()
    await announce(gateway, node(f"{gateway.simulator}/alpha", **changes))
    status, answer, headers = await gateway.chat(model="gpt-sim")
    assert (status, answer["error"]["code"]) == (503, "no_provider_available")
    assert answer["error"]["ruled_out"][0]["rule"] == rule
    assert int(headers["retry-after"]) >= 1


async def test_an_older_beat_changes_nothing(start: Any) -> None:
    gateway = await start()
    await announce(gateway, node(f"{gateway.simulator}/alpha", aggregate_version=7, state="draining"))
    await announce(gateway, node(f"{gateway.simulator}/alpha", aggregate_version=6, state="ready"))
    status, answer, _ = await gateway.chat(model="gpt-sim")
    assert (status, answer["error"]["ruled_out"][0]["rule"]) == (503, "node_draining")


async def test_a_node_outside_of_the_allowed_networks_is_never_called(start: Any) -> None:
    gateway = await start(edge_networks="10.1.0.0/16")
    for version, url in enumerate((gateway.simulator, gateway.simulator.replace("127.0.0.1", "localhost")), start=1):
        await announce(gateway, node(f"{url}/alpha", aggregate_version=version))
        status, answer, _ = await gateway.chat(model="gpt-sim")
        assert (status, answer["error"]["code"]) == (502, "provider_failed")
    assert await gateway.account() == []
    assert {row["reason"] for row in await gateway.ledger()} == {"address_not_allowed"}


async def test_no_node_gets_a_token_that_is_not_its_own(start: Any) -> None:
    gateway = await start(edge_token=SecretStr("not-alpha's"))
    await announce(gateway, node(f"{gateway.simulator}/alpha"))
    status, answer, _ = await gateway.chat(model="gpt-sim")
    assert (status, answer["error"]["code"]) == (502, "provider_failed")
    assert "credentials" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("::1", False), ("169.254.169.254", False)],
)
def test_addresses_are_judged_as_what_they_are(address: str, allowed: bool) -> None:
    networks = Settings.model_fields["edge_networks"].default
    assert inside(address, networks) is allowed


async def test_a_project_with_private_data_reaches_nodes_only(start: Any) -> None:
    from inference_gateway.store import accounts

    gateway = await start(edge_token=SecretStr("alpha-secret"))
    await announce(gateway, node(f"{gateway.simulator}/alpha", beat_at=datetime.now(UTC) + timedelta(seconds=1)))
    await gateway.change(accounts.change_project, "panel", private=True)
    status, answer, _ = await gateway.chat(model="sim-chat")
    assert status == 403
    assert {out["rule"] for out in answer["error"]["ruled_out"]} == {"data_is_private"}
    assert (await gateway.chat(model="gpt-sim"))[0] == 200


async def test_a_scheme_that_is_not_http_is_no_address_of_a_node() -> None:
    upstreams = Upstreams(edge_networks=(), edge_token=None, connect_s=1)
    from inference_gateway.domain.catalogue import Deployment

    odd = Deployment("n", "m", "m", "edge", "file:///etc/passwd", frozenset({"chat"}))
    with pytest.raises(AddressNotAllowed):
        await upstreams.post(odd, "chat", b"{}", {}, "a")
    await upstreams.close()
