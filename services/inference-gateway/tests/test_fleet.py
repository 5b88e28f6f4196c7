"""What nodes should hold, as the gateway keeps it: changed once, told once, and never below what a node has already."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from inference_gateway.domain.fleet import Desired, Wanted, came_with
from inference_gateway.operator_api.fleet_page import fleet_page
from inference_gateway.store import fleet
from shipjury_delivery.tables import outbox
from shipjury_schemas import EdgeDeployment, Event
from shipjury_schemas.edge_node.v1 import LoadedModel
from shipjury_schemas.testing import edge_benchmarked

from .test_edge import announce, node

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODEL = LoadedModel(
    model="gpt-sim",
    state="ready",
    context_tokens=2048,
    slots=4,
    weights_sha256="00",
    capabilities=("chat", "completions"),
)


def test_a_model_is_added_once_and_replaced_in_its_place() -> None:
    before = Desired(1, (Wanted("a"), Wanted("b")))
    assert before.with_model(Wanted("a")) == before
    assert before.with_model(Wanted("c")).models == (Wanted("a"), Wanted("b"), Wanted("c"))
    assert before.with_model(Wanted("a", 512)).models == (Wanted("a", 512), Wanted("b"))
    assert before.without_model("a").models == (Wanted("b"),)
    with pytest.raises(KeyError):
        before.without_model("c")


def test_a_first_deployment_takes_over_what_the_node_came_with_and_not_what_it_could_not_hold() -> None:
    failed = {"model": "b", "context_tokens": 0, "slots": 0, "weights_sha256": None}
    held = {"model": "a", "context_tokens": 2048, "slots": 4, "weights_sha256": "00"}
    assert came_with({"models": [held, failed], "generation": 0}) == Desired(0, (Wanted("a", 2048, 4),))


async def told(gateway: Any) -> list[EdgeDeployment]:
    """The deployments that were told, in order."""
    async with gateway.engine.connect() as connection:
        query = sa.select(outbox.c.value).where(outbox.c.topic == EdgeDeployment.topic.name).order_by(outbox.c.id)
        return [EdgeDeployment.model_validate_json(value) for value in await connection.scalars(query)]


async def test_a_change_is_told_once_and_goes_beyond_what_the_node_has_carried_out(gateway: Any) -> None:
    def with_b(one: Desired) -> Desired:
        return one.with_model(Wanted("b"))

    with pytest.raises(fleet.NoSuchNode):
        await gateway.change(fleet.change, "edge-1", with_b, NOW)
    await announce(gateway, node(f"{gateway.simulator}/alpha", models=(MODEL,), generation=7))
    desired, new = await gateway.change(fleet.change, "edge-1", with_b, NOW)
    assert (desired.generation, new) == (8, True)
    assert await gateway.change(fleet.change, "edge-1", with_b, NOW) == (desired, False)
    (one,) = await told(gateway)
    assert (one.aggregate_version, [model.model for model in one.models]) == (8, ["gpt-sim", "b"])


async def test_a_cordon_counts_before_the_node_has_heard_of_it(gateway: Any) -> None:
    from dataclasses import replace

    await announce(gateway, node(f"{gateway.simulator}/alpha", models=(MODEL,), labels={"room": "attic"}))
    await gateway.change(fleet.change, "edge-1", lambda one: replace(one, cordoned=True), NOW)
    status, answer, _ = await gateway.chat(model="gpt-sim")
    assert (status, answer["error"]["ruled_out"][0]["rule"]) == (503, "node_cordoned")
    status, answer, _ = await gateway.chat(model="gpt-sim", provider={"only": ["edge"], "labels": {"room": "cellar"}})
    assert answer["error"]["ruled_out"][0]["rule"] == "other_labels"


async def test_a_model_that_must_be_loaded_first_is_asked_after_one_that_is_loaded(start: Any) -> None:
    from pydantic import SecretStr

    gateway = await start(edge_token=SecretStr("alpha-secret"))
    cold = MODEL.model_copy(update={"state": "unloaded"})
    await announce(
        gateway,
        node(f"{gateway.simulator}/alpha", node_id="a-cold", models=(cold,)),
        node(f"{gateway.simulator}/alpha", node_id="b-warm", models=(MODEL,)),
    )
    _, _, headers = await gateway.chat(model="gpt-sim")
    assert headers["x-shipjury-provider"] == "b-warm"
    _, _, headers = await gateway.chat(model="gpt-sim", provider={"ignore": ["b-warm"]})
    assert headers["x-shipjury-provider"] == "a-cold"


async def test_the_fleet_shows_the_newest_measurement_and_a_heart_that_has_stopped(gateway: Any) -> None:
    await announce(gateway, node(f"{gateway.simulator}/alpha", models=(MODEL,), beat_at=NOW, labels={"a": "<b>"}))
    for version, speed in ((2, 70.0), (1, 10.0)):
        measured = edge_benchmarked(
            aggregate_version=version,
            benchmark_id="edge-1:gpt-sim",
            model="gpt-sim",
            decode_tokens_per_second=speed,
        )
        await gateway.change(fleet.fold_benchmark, Event(data=measured, source="/test").data)
    async with gateway.engine.connect() as connection:
        (alive,) = await fleet.fleet(connection, NOW + timedelta(seconds=10))
        (gone,) = await fleet.fleet(connection, NOW + timedelta(seconds=16))
    assert (alive["state"], gone["state"]) == ("ready", "gone")
    assert alive["benchmarks"]["gpt-sim"]["decode_tokens_per_second"] == 70.0
    page = fleet_page([gone], NOW)
    assert "a=&lt;b&gt;" in page
    assert "70.0" in page
