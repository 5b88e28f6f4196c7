"""Budgets are hard: reserved before, settled after, counted in 64 bits, rebuilt when Redis has forgotten them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_gateway.domain.budgets import MAX_LIMIT, Budget, Charge, actual_amount, charges
from inference_gateway.domain.money import Tokens
from inference_gateway.store.admission import (
    Admission,
    Reaper,
    Refused,
    Reservation,
    Streams,
    counters,
    epoch,
    shard_of,
)
from inference_gateway.store.rebuild import open_shards
from inference_gateway.store.resp import RedisPipe
from shipjury_standalone.testing import wait_until

from .conftest import is_open


def reservation(number: int, amount: int, limit: int, metric: Any = "nano_usd") -> Reservation:
    """A reservation of this amount under one budget."""
    counter = f"{counters(0)}b:total"
    charge = Charge(Budget("b", "project", "p", metric, "total", limit), counter, amount, 0)
    facts = b'{"counters":[["%s","%s"]]}' % (counter.encode(), metric.encode())
    return Reservation(f"attempt-{number}", 0, (charge,), facts, amount)


async def counted(pipe: RedisPipe) -> int:
    """What the budget has counted."""
    value = await pipe.call("GET", f"{counters(0)}b:total")
    return int(value) if isinstance(value, bytes) else 0


async def opened(url: str) -> RedisPipe:
    """A pipe to a Redis whose budgets are whole."""
    pipe = RedisPipe(url)
    await pipe.call("FLUSHDB")
    await pipe.call("SET", epoch(0), "open:1")
    return pipe


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(0, MAX_LIMIT),
    amounts=st.lists(st.integers(0, MAX_LIMIT), min_size=1, max_size=8),
)
async def test_what_is_admitted_never_exceeds_the_limit_at_any_size(
    redis_url: str, limit: int, amounts: list[int]
) -> None:
    pipe = await opened(redis_url)
    admission = Admission(pipe, "one")
    admitted = 0
    for number, amount in enumerate(amounts):
        refused = await admission.reserve(reservation(number, amount, limit))
        if refused is None:
            admitted += amount
        else:
            assert (refused.used, refused.asked) == (admitted, amount)
            assert admitted + amount > limit
    assert await counted(pipe) == admitted <= limit
    await pipe.close()


limits = st.lists(
    st.tuples(
        st.sampled_from(("nano_usd", "tokens", "requests", "concurrency")),
        st.sampled_from(("minute", "day", "month", "total")),
        st.sampled_from(("key", "project", "organisation")),
        st.integers(0, 40),
    ),
    max_size=6,
)
steps = st.lists(
    st.tuples(st.sampled_from(("reserve", "settle", "release")), st.integers(0, 20), st.booleans()), max_size=14
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=limits, steps=steps)
async def test_an_attempt_is_taken_from_all_of_its_budgets_or_from_none_and_no_budget_is_ever_passed(
    redis_url: str, limits: list[tuple[Any, Any, Any, int]], steps: list[tuple[str, int, bool]]
) -> None:
    pipe = await opened(redis_url)
    admission, at = Admission(pipe, "one"), datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
    of = [
        Budget(f"b{number}", scope, "x", metric, window, most)
        for number, (metric, window, scope, most) in enumerate(limits)
    ]
    used = {budget.id: 0 for budget in of}
    open_: list[Reservation] = []
    for number, (step, amount, first) in enumerate(steps):
        if step == "reserve":
            taken = charges(of, counters(0), bound_nano_usd=amount, bound=Tokens(amount, 0), first_attempt=first, at=at)
            one = Reservation(f"attempt-{number}", 0, taken, b'{"counters":[]}', amount)
            refused = await admission.reserve(one)
            fits = all(used[charge.budget.id] + charge.amount <= charge.budget.limit for charge in taken)
            assert (refused is None) == fits
            if refused is None:
                open_.append(one)
                for charge in taken:
                    used[charge.budget.id] += charge.amount
            else:
                assert isinstance(refused, Refused)
                assert refused.used == used[refused.budget.id]
        elif open_:
            one = open_.pop(amount % len(open_))
            spent = min(amount, one.bound_nano_usd or 0)
            if step == "settle":
                await admission.settle(one, b"{}", nano_usd=spent, tokens=spent)
            else:
                await admission.release(one)
            for charge in one.charges:
                kept = actual_amount(charge, spent, spent) if step == "settle" else 0
                used[charge.budget.id] += kept - charge.amount
        for budget in of:
            value = await pipe.call("GET", charge_counter(budget, at))
            assert int(value or 0) == used[budget.id] <= budget.limit  # type: ignore[call-overload]
    await pipe.close()


def charge_counter(budget: Budget, at: datetime) -> str:
    """Where a budget counts."""
    [charge] = charges([budget], counters(0), bound_nano_usd=0, bound=Tokens(0, 0), first_attempt=True, at=at)
    return charge.counter


async def test_a_settled_attempt_counts_what_it_took_and_only_once(redis_url: str) -> None:
    pipe = await opened(redis_url)
    admission = Admission(pipe, "one")
    one = reservation(1, 1000, 5000)
    assert await admission.reserve(one) is None
    for _ in range(3):
        await admission.settle(one, b"{}", nano_usd=300, tokens=None)
    assert await counted(pipe) == 300
    assert len(await Streams(pipe).read(10)) == 1
    await pipe.close()


async def test_a_released_attempt_leaves_nothing(redis_url: str) -> None:
    pipe = await opened(redis_url)
    admission = Admission(pipe, "one")
    one = reservation(1, 1000, 5000)
    await admission.reserve(one)
    await admission.release(one)
    assert await counted(pipe) == 0
    assert await Streams(pipe).read(10) == []
    await pipe.close()


async def test_a_dead_instances_attempts_stay_counted_at_their_bound_until_a_late_settle(redis_url: str) -> None:
    pipe = await opened(redis_url)
    admission = Admission(pipe, "doomed")
    one = reservation(1, 1000, 5000)
    await admission.beat()
    await admission.reserve(one)
    reaper = Reaper(pipe, dead_after_s=60)
    assert await reaper.reap() == 0
    await pipe.call("ZADD", "sj:instances", 1, "doomed")
    assert await reaper.reap() == 1
    assert await counted(pipe) == 1000
    await admission.settle(one, b"{}", nano_usd=300, tokens=None)
    assert await counted(pipe) == 300
    assert len(await Streams(pipe).read(10)) == 2
    await pipe.close()


async def test_a_closed_epoch_admits_nothing_under_a_budget(gateway: Any) -> None:
    await gateway.budget(10**12)
    [found] = {account.organisation_id for account in gateway.accounts().values()}
    await gateway.pipe.call("SET", epoch(shard_of(found)), "building:2")
    status, answer, headers = await gateway.chat()
    assert (status, answer["error"]["code"]) == (503, "admission_unavailable")
    assert "retry-after" in headers
    assert await gateway.account() == []


async def test_an_empty_redis_is_not_an_empty_bill(gateway: Any) -> None:
    await gateway.budget(10**12)
    await gateway.budget(100, "requests", "day")
    await gateway.budget(10**9, "tokens", "month", "key")
    for _ in range(3):
        await gateway.chat("hello", stream=True)
    rows = await gateway.ledger()
    before = await gateway.counters()
    assert sorted(before.values()) == sorted(
        [3, sum(row["cost_nano_usd"] for row in rows), sum(row["input_tokens"] + row["output_tokens"] for row in rows)]
    )
    await gateway.pipe.call("FLUSHALL")
    await open_shards(gateway.pipe, gateway.engine, now=datetime.now(UTC))
    assert await gateway.counters() == before


async def test_living_gateways_put_back_what_redis_forgot(start: Any) -> None:
    gateway = await start(heartbeat_seconds=0.1)
    await gateway.budget(10**12)
    await gateway.chat("first")
    await gateway.ledger()  # one in the ledger, one settled and not there yet, one open
    await gateway.chat("second")
    await gateway.settled()
    slow = asyncio.create_task(gateway.chat("fault=slow words=30", stream=True, max_tokens=30))
    await wait_until(lambda: _open(gateway))
    before = await gateway.counters()
    await gateway.pipe.call("FLUSHALL")
    await wait_until(lambda: _again(gateway, before))
    await slow
    rows, lines = await gateway.ledger(), await gateway.account()
    assert len(rows) == 3
    assert sum(row["cost_nano_usd"] for row in rows) == sum(line["nano_usd"] for line in lines)
    assert list((await gateway.counters()).values()) == [sum(line["nano_usd"] for line in lines)]


async def _open(gateway: Any) -> bool:
    return bool(await gateway.pipe.call("KEYS", "sj:*:open:*"))


async def _again(gateway: Any, before: dict[str, int]) -> bool:
    return await is_open(gateway.pipe) and await gateway.counters() == before


async def test_a_used_up_budget_is_refused_before_a_cent_is_spent(gateway: Any) -> None:
    await gateway.budget(1000)
    status, answer, _ = await gateway.chat(max_tokens=100)
    assert (status, answer["error"]["code"]) == (402, "budget_exceeded")
    assert answer["error"]["budget"]["left"] == 1000
    assert await gateway.account() == []


async def test_a_limit_of_requests_a_minute_holds_and_says_when_to_come_back(gateway: Any) -> None:
    await gateway.budget(2, "requests", "day", "key")
    statuses = [(await gateway.chat())[0] for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_a_fallback_is_one_request_and_releases_what_failed(gateway: Any) -> None:
    await gateway.budget(1, "requests", "day", "key")
    await gateway.budget(10**12)
    status, _, headers = await gateway.chat(
        "fault=500@alpha", model="sim-chat", provider={"order": ["alpha", "beta"], "ignore": ["gamma"]}
    )
    assert (status, headers["x-shipjury-provider"]) == (200, "beta")
    rows = await gateway.ledger()
    assert sorted((await gateway.counters()).values()) == sorted([1, sum(row["cost_nano_usd"] for row in rows)])


async def test_concurrency_is_given_back_when_a_stream_ends(gateway: Any) -> None:
    await gateway.budget(1, "concurrency", "total", "key")
    slow = asyncio.create_task(gateway.chat("fault=slow words=20", stream=True))
    await wait_until(lambda: _busy(gateway))
    status, answer, _ = await gateway.chat()
    assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
    await slow
    assert (await gateway.chat())[0] == 200


async def _busy(gateway: Any) -> bool:
    return 1 in (await gateway.counters()).values()


async def test_many_clients_never_spend_more_than_one_budget(gateway: Any) -> None:
    await gateway.budget(2_500_000)
    answers = await asyncio.gather(
        *(
            gateway.chat(f"{number} words={number % 40}", model="sim-chat", max_tokens=40, stream=bool(number % 2))
            for number in range(200)
        )
    )
    lines = await gateway.account()
    assert 0 < sum(line["nano_usd"] for line in lines) <= 2_500_000
    assert {answer[0] for answer in answers} == {200, 402}
    billed = sum(line["nano_usd"] for line in lines)

    async def agrees() -> bool:
        return bool(sum(row["cost_nano_usd"] for row in await gateway.ledger()) == billed)

    await wait_until(agrees)  # what Redis, too busy, did not answer in time is settled a moment later


async def test_an_attempt_that_cost_more_than_its_bound_blocks_its_project(gateway: Any) -> None:
    from inference_gateway.store import accounts

    await gateway.chat("hello")
    [row] = await gateway.ledger()
    assert row["cost_nano_usd"] <= row["bound_nano_usd"]
    # A provider that makes more than max_tokens is simulated by a bound that is too low: one in the ledger's own words.
    from inference_gateway.store.ledger import Entry, write

    facts = gateway.facts(bound_nano_usd=5)
    entry = Entry(facts, {"outcome": "ok", "reason": None, "cost": 6, "tokens": (1, 0, 1)})
    async with gateway.engine.begin() as connection:
        await write(connection, [entry], now=datetime.now(UTC))
    await gateway.refresh()
    status, answer, _ = await gateway.chat()
    assert (status, answer["error"]["code"]) == (403, "project_blocked")
    await gateway.change(accounts.change_project, "panel", blocked=None)
    assert (await gateway.chat())[0] == 200


async def test_a_redis_that_is_away_means_a_clear_no_under_a_budget_and_no_hang(start: Any) -> None:
    gateway = await start(admission_seconds=0.5)
    await gateway.budget(10**12)
    await gateway.chat()
    await gateway.pipe.call("CLIENT", "PAUSE", 1500, "ALL")
    async with asyncio.timeout(5):
        status, answer, _ = await gateway.chat()
    assert (status, answer["error"]["code"]) == (503, "admission_unavailable")
    assert len(await gateway.account()) == 1

    async def back() -> bool:
        return bool((await gateway.chat())[0] == 200)

    await wait_until(back)


async def test_a_whole_answer_does_not_wait_until_redis_has_heard_of_its_end(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[RedisPipe, bytes]] = []
    ended = False
    hear, settle = RedisPipe.data_received, Admission.settle

    def hold(pipe: RedisPipe, data: bytes) -> None:
        if ended and pipe is not gateway.pipe:
            held.append((pipe, data))
        else:
            hear(pipe, data)

    def settling(*told: Any, **more: Any) -> Any:
        nonlocal ended
        ended = True
        return settle(*told, **more)

    monkeypatch.setattr(RedisPipe, "data_received", hold)
    monkeypatch.setattr(Admission, "settle", settling)
    status, _, _ = await gateway.chat("words=3")
    assert status == 200
    await wait_until(lambda: waits(held))
    ended = False
    for pipe, data in held:
        hear(pipe, data)
    [row] = await gateway.ledger()
    assert row["outcome"] == "ok"


async def waits(held: list[Any]) -> bool:
    """Whether Redis has answered into the hold."""
    return bool(held)
