"""Readers' and operators' routes, and the commands: reviews, comparisons in any order, status, replay, judge again."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from panel.api import public_app
from panel.app import Bench, now
from panel.operator_api import operator_app
from panel.replay import replay
from panel.status import judge_again, status_of
from shipjury_schemas import ComparisonIssued

from .builders import BAD, GOOD, a_tool
from .conftest import a_record, judged, outbox, published, sat
from .fake_gateway import FakeGateway

HUB = a_tool(GOOD, tool_id="22222222-2222-7222-8222-222222222222", slug="hub")
DIM = a_tool(BAD, tool_id="11111111-1111-7111-8111-111111111111", slug="dim-vs-dark")


@pytest_asyncio.fixture
async def readers(panel: Bench, fake: FakeGateway) -> AsyncIterator[httpx.AsyncClient]:
    await sat(panel, a_record(fake))
    async with panel.engine.begin() as connection:
        await published(connection, HUB, DIM)
    await judged(panel)
    transport = httpx.ASGITransport(public_app(panel.engine, now))
    async with httpx.AsyncClient(transport=transport, base_url="http://shipjury") as client:
        yield client


@pytest_asyncio.fixture
async def operators(panel: Bench) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(operator_app(panel.engine, now))
    async with httpx.AsyncClient(transport=transport, base_url="http://operators") as client:
        yield client


async def test_a_tools_verdict_comes_with_its_history(readers: httpx.AsyncClient) -> None:
    found = (await readers.get(f"/reviews/{HUB.tool_id}")).json()
    assert found["latest"]["verdict"] == "ship"
    assert [one["aggregate_version"] for one in found["history"]] == [1]


async def test_a_tool_without_a_verdict_is_a_problem(readers: httpx.AsyncClient) -> None:
    answer = await readers.get("/reviews/nobody")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "No verdict on this tool yet."


async def test_a_comparison_names_the_winner_by_difference_of_scores(readers: httpx.AsyncClient) -> None:
    found = ComparisonIssued.model_validate((await readers.get("/comparisons/hub-vs-dim-vs-dark")).json())
    assert (found.a.slug, found.b.slug) == ("dim-vs-dark", "hub")
    overall = found.cases[0]
    assert (overall.use_case, overall.winner) == ("overall", "b")
    assert overall.difference is not None
    assert overall.difference < -80
    assert len(overall.fact_ids) == 2
    assert {case.winner for case in found.cases[1:]} == {"b", "abstain"}
    assert found.orders_agree is None


async def test_the_order_of_the_names_plays_no_part(readers: httpx.AsyncClient) -> None:
    there = (await readers.get("/comparisons/hub-vs-dim-vs-dark")).json()
    back = (await readers.get("/comparisons/dim-vs-dark-vs-hub")).json()
    assert there["cases"] == back["cases"]


async def test_an_unknown_pair_and_a_tool_with_itself_are_problems(readers: httpx.AsyncClient) -> None:
    for pair in ("hub-vs-nobody", "hub-vs-hub", "hub"):
        assert (await readers.get(f"/comparisons/{pair}")).status_code == 404


async def test_an_operator_publishes_a_comparison_and_the_next_is_a_newer_version(
    panel: Bench, readers: httpx.AsyncClient, operators: httpx.AsyncClient
) -> None:
    for pair in ({"a": "hub", "b": "dim-vs-dark"}, {"a": "dim-vs-dark", "b": "hub"}):
        assert (await operators.post("/panel/comparisons", json=pair)).status_code == 201
    events = await outbox(panel, "comparisons.issued.v1")
    assert [one["aggregate_version"] for one in events] == [1, 2]
    assert {one["comparison_id"] for one in events} == {f"{DIM.tool_id}:{HUB.tool_id}"}


async def test_a_malformed_pair_is_a_problem_that_names_the_field(operators: httpx.AsyncClient) -> None:
    answer = await operators.post("/panel/comparisons", json={"a": "hub", "c": "x"})
    assert answer.status_code == 422
    assert {one["field"] for one in answer.json()["errors"]} == {"body.b", "body.c"}


async def test_status_tells_what_is_judged_and_what_waits(
    panel: Bench, readers: httpx.AsyncClient, operators: httpx.AsyncClient
) -> None:
    assert (await operators.post("/panel/tools/hub/rejudge")).status_code == 202
    found = (await operators.get("/panel/status")).json()
    assert (found["tools"], found["judged"], found["judging"]) == (2, 2, {"done": 2, "ready": 1})
    assert found["records"][0]["level"] == "tone_reader"
    await judged(panel)
    assert (await status_of(panel.engine))["verdicts"] == 3
    verdict = (await outbox(panel, "verdicts.issued.v1"))[-1]
    assert verdict["supersedes"]["cause"] == "repeat"


async def test_a_tool_that_is_not_published_is_not_judged_again(panel: Bench, readers: httpx.AsyncClient) -> None:
    assert await judge_again(panel.engine, "nobody", now()) is None


async def test_a_replay_on_the_same_judge_reads_every_fact_again_and_finds_the_same(
    panel: Bench, readers: httpx.AsyncClient, fake: FakeGateway
) -> None:
    run = (await outbox(panel, "verdicts.issued.v1"))[0]["manifest"]["run_id"]
    asked = len(fake.prompts)
    found = await replay(panel.engine, panel.gateway, panel.judges, run)
    assert found is not None
    assert found.same
    assert len(fake.prompts) == asked + 18


async def test_a_replay_names_the_facts_that_are_read_otherwise_now(
    panel: Bench, readers: httpx.AsyncClient, fake: FakeGateway
) -> None:
    run = (await outbox(panel, "verdicts.issued.v1"))[0]["manifest"]["run_id"]
    fake.tone = {GOOD[0]: -5.0, BAD[0]: 5.0}
    found = await replay(panel.engine, panel.gateway, panel.judges, run)
    assert found is not None
    assert not found.same
    assert any(line.startswith("A01: p ") for line in found.lines)


async def test_a_run_that_nobody_knows_cannot_be_replayed(panel: Bench, readers: httpx.AsyncClient) -> None:
    assert await replay(panel.engine, panel.gateway, panel.judges, "nobody") is None
