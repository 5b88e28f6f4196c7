"""A second provider beside a slow first one: who begins first is heard, both are paid for, and no budget is passed."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inference_gateway.api.race import Allowance
from inference_gateway.domain.health import ENOUGH, RECENT, Health
from shipjury_standalone.testing import wait_until

AB = {"order": ["alpha", "beta"], "ignore": ["gamma"]}


async def measured(gateway: Any, model: str = "sim-chat:alpha") -> None:
    """Let the gateway see often enough how soon a provider begins."""
    for _ in range(ENOUGH):
        status, _, _ = await gateway.chat("words=1", model=model, stream=True)
        assert status == 200


async def attempts_of(gateway: Any, headers: Any, count: int) -> list[dict[str, Any]]:
    """The ledger's rows of one request, once there are so many."""
    rows: list[dict[str, Any]] = []

    async def there() -> bool:
        found = await gateway.ledger()
        rows[:] = [row for row in found if row["request_id"] == headers["x-shipjury-request-id"]]
        return len(rows) >= count

    await wait_until(there)
    return sorted(rows, key=lambda row: str(row["provider"]))


async def test_a_first_provider_slower_than_its_95th_percentile_gets_a_second_beside_it_and_both_are_paid(
    start: Any,
) -> None:
    gateway = await start(hedge_share=1.0)
    await measured(gateway)
    status, text, headers = await gateway.chat("fault=late@alpha words=30", model="sim-chat", provider=AB, stream=True)
    assert (status, headers["x-shipjury-provider"], headers["x-shipjury-hedge"]) == (200, "beta", "won")
    assert text.endswith("data: [DONE]\n\n")
    assert text.count('"finish_reason": "') == 1, "one answer, not two"
    slow, fast = await attempts_of(gateway, headers, 2)
    assert (fast["provider"], fast["outcome"], fast["first_attempt"]) == ("beta", "ok", False)
    assert (slow["provider"], slow["outcome"], slow["reason"]) == ("alpha", "client_gone", "hedge_lost")
    lines = {line["attempt_id"]: line["nano_usd"] for line in await gateway.account()}
    assert {row["attempt_id"]: row["cost_nano_usd"] for row in (slow, fast)}.items() <= lines.items()
    assert fast["explanation"] == {"hedges": "alpha"}


async def test_a_slower_answer_is_cut_off_where_the_provider_stops_billing_then_and_is_uncertain(start: Any) -> None:
    gateway = await start(
        hedge_share=1.0,
        change_providers={"gamma": ("max_logprobs", "cancelled_stream_still_billed = false\nmax_logprobs")},
    )
    await measured(gateway, "sim-chat:gamma")
    route = {"order": ["gamma", "beta"], "ignore": ["alpha"]}
    _, _, headers = await gateway.chat("fault=late@gamma words=50", model="sim-chat", provider=route, stream=True)
    assert headers["x-shipjury-provider"] == "beta"
    _, slow = await attempts_of(gateway, headers, 2)
    [line] = [line for line in await gateway.account() if line["attempt_id"] == slow["attempt_id"]]
    assert (line["end"], slow["outcome"], slow["reason"]) == ("cancelled", "uncertain", "hedge_lost")
    assert line["nano_usd"] <= slow["cost_nano_usd"] == slow["bound_nano_usd"]


async def test_a_hedge_reserves_too_and_is_not_made_where_a_budget_has_no_room(start: Any) -> None:
    gateway = await start(hedge_share=1.0)
    await measured(gateway)
    await gateway.budget(1, "concurrency", "total", "key")
    status, text, headers = await gateway.chat("fault=late@alpha words=3", model="sim-chat", provider=AB, stream=True)
    assert (status, headers["x-shipjury-provider"]) == (200, "alpha")
    assert text.endswith("data: [DONE]\n\n")
    assert len(await attempts_of(gateway, headers, 1)) == 1


async def test_without_a_share_or_measurements_nothing_is_hedged(start: Any) -> None:
    for settings, seen in (({}, True), ({"hedge_share": 1.0}, False)):
        gateway = await start(**settings)
        if seen:
            await measured(gateway)
        _, _, headers = await gateway.chat("fault=late@alpha words=3", model="sim-chat", provider=AB, stream=True)
        assert (headers["x-shipjury-provider"], headers.get("x-shipjury-hedge")) == ("alpha", None)


async def test_when_both_fail_the_next_is_tried_and_when_all_fail_the_error_names_each(start: Any) -> None:
    gateway = await start(hedge_share=1.0, first_token_seconds=1.5, retries=0)
    await measured(gateway)
    text = "fault=hang@alpha fault=503@beta"
    order = {"order": ["alpha", "beta", "gamma"]}
    status, _, headers = await gateway.chat(text, model="sim-chat", provider=order, stream=True)
    assert (status, headers["x-shipjury-provider"], headers["x-shipjury-attempts"]) == (200, "gamma", "3")
    status, answer, _ = await gateway.chat(text, model="sim-chat", provider=AB, stream=True)
    assert status == 504
    assert {(one["provider"], one["reason"]) for one in answer["error"]["attempts"]} == {
        ("alpha", "no_answer_in_time"),
        ("beta", "http_503"),
    }


async def test_a_client_that_leaves_a_race_leaves_nothing_open(start: Any) -> None:
    gateway = await start(hedge_share=1.0, drain_seconds=0.3)
    await measured(gateway)
    asking = asyncio.create_task(
        gateway.chat("fault=hang@alpha fault=hang@beta", model="sim-chat", provider=AB, stream=True)
    )

    async def both() -> bool:
        return len(await gateway.account()) >= ENOUGH + 2

    await wait_until(both)
    asking.cancel()

    async def nothing_open() -> bool:
        return await gateway.pipe.call("KEYS", "sj:*:open:*") == []

    await wait_until(nothing_open)
    rows = (await gateway.ledger())[-2:]
    assert {(row["outcome"], row["cost_nano_usd"] == row["bound_nano_usd"]) for row in rows} == {("uncertain", True)}


@given(st.floats(0.001, 1), st.integers(0, 400))
def test_no_more_than_the_share_of_streams_and_one_is_hedged(share: float, streams: int) -> None:
    allowance = Allowance(share)
    hedged = 0
    for _ in range(streams):
        allowance.earn()
        hedged += allowance.take()
    assert hedged <= streams * share + 1 + 1e-9


@given(st.lists(st.floats(0.001, 60), max_size=2 * RECENT))
def test_the_percentile_is_that_of_the_latest_measurements_or_none_of_too_few(measured_s: list[float]) -> None:
    health = Health()
    for one in measured_s:
        health.begin(0)
        health.succeed(one)
    latest = measured_s[-RECENT:]
    p95 = health.ttft_p95_s()
    if len(latest) < ENOUGH:
        assert p95 is None
    else:
        assert p95 in latest
        assert sum(1 for one in latest if one <= p95) >= 0.95 * len(latest)
        assert sum(1 for one in latest if one < p95) < 0.95 * len(latest)
