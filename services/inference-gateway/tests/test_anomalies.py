"""A runaway loop is found within a minute, ordinary traffic is left alone, and a policy throttles."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from uuid_utils import uuid7

from inference_gateway.domain.anomalies import SLOT_S, Series
from inference_gateway.domain.repeats import WINDOW_S, Repeats
from inference_gateway.store import accounts, watching
from inference_gateway.store.tables import ledger
from inference_gateway.watching import Watch
from shipjury_delivery.tables import outbox

from .traffic import DAY, FLOORS, MONDAY, ORDINARY, Project, found_after, opens, ordinary, series


def spend() -> Series:
    return series()["cost"]


@pytest.mark.parametrize("number", [1, 4])
def test_two_days_of_ordinary_traffic_raise_no_alarm(number: int) -> None:
    watched = series()
    assert not any(opens(watched, slot, amounts) for slot, amounts in ordinary(ORDINARY[number], 11 + number, days=2))


@pytest.mark.parametrize("hour", [3.0, 10.5])
def test_a_loop_is_found_within_a_minute_by_day_and_by_night(hour: float) -> None:
    watched, rows = learned(ORDINARY[2], hour)
    for a_second in (5, 10):
        assert found_after(watched, rows, ORDINARY[2], a_second, same=False) <= 60


def test_a_slow_loop_beside_a_busy_projects_traffic_is_found_by_its_repetitions() -> None:
    watched, rows = learned(ORDINARY[4], hour=10.5)
    assert found_after(watched, rows, ORDINARY[4], 2, same=True) <= 60
    assert found_after(watched, rows, ORDINARY[4], 2, same=False) > 60


def test_what_goes_on_below_the_floors_is_no_loop() -> None:
    watched, rows = learned(ORDINARY[0], hour=4.0)
    day = [(slot, {"cost": 0, "requests": 4, "repeats": 4}) for slot, _ in rows]
    assert not any(opens(watched, slot, amounts) for slot, amounts in day)


def learned(project: Project, hour: float) -> tuple[dict[str, Series], list[tuple[int, dict[str, int]]]]:
    """What is known of a project at an hour of its second day, and its next minutes."""
    rows, start = list(ordinary(project, seed=5, days=2)), DAY + int(hour * 3600 / SLOT_S)
    watched = series()
    assert not any(opens(watched, slot, amounts) for slot, amounts in rows[:start])
    return watched, rows[start : start + 300 // SLOT_S]


def test_a_request_is_a_repetition_where_one_like_it_came_within_a_minute() -> None:
    repeats = Repeats()
    told = [repeats.again(alike, at) for alike, at in (("a", 0.0), ("b", 1.0), ("a", 2.0), ("a", 63.0), ("b", 64.0))]
    assert told == [False, False, True, False, False]


def test_only_a_minutes_requests_are_remembered() -> None:
    repeats = Repeats()
    for second in range(10_000):
        repeats.again(str(second), float(second))
    assert len(repeats) <= WINDOW_S + 1


def test_one_large_request_is_no_loop() -> None:
    watched = spend()
    for slot, amounts in ordinary(ORDINARY[1], seed=3, days=1):
        assert watched.observe(slot, amounts["cost"] + (50_000_000_000 if slot == MONDAY + DAY // 2 else 0)) is None


def test_an_anomaly_is_over_after_five_ordinary_minutes() -> None:
    watched = spend()
    changes = [(at, watched.observe(MONDAY + at, 1e9 if 100 <= at < 124 else 0.0)) for at in range(400)]
    told = [(at, change) for at, change in changes if change is not None]
    assert [change for _, change in told] == ["opened", "closed"]
    assert told[1][0] - 124 >= 5 * 60 // SLOT_S


def test_a_loop_does_not_become_its_own_excuse() -> None:
    watched = spend()
    for slot in range(MONDAY, MONDAY + 4 * DAY):
        watched.observe(slot, 1_000_000)
    before = watched.expected_per_minute
    for slot in range(MONDAY + 4 * DAY, MONDAY + 4 * DAY + 720):
        watched.observe(slot, 1e9)
    assert watched.opened is not None
    assert watched.expected_per_minute < 4 * before


def test_what_is_stored_goes_on_where_it_stood() -> None:
    rows = list(ordinary(ORDINARY[3], seed=2, days=1))
    whole, halves = spend(), spend()
    for slot, amounts in rows:
        whole.observe(slot, amounts["cost"])
    for slot, amounts in rows[: DAY // 2]:
        halves.observe(slot, amounts["cost"])
    halves = Series.decode(json.loads(json.dumps(halves.encode())))
    for slot, amounts in rows[DAY // 2 :]:
        halves.observe(slot, amounts["cost"])
    assert halves == whole


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 4, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Room:
    """A watch over a real database, fed with ledger rows."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.clock = Clock()
        self.watch = Watch(engine, FLOORS, self.clock)

    async def project(self, **policy: Any) -> str:
        async with self.engine.begin() as connection:
            project = await accounts.make_project(connection, "lab")
            if policy:
                await accounts.change_project(connection, project, **policy)
        return project

    async def seconds(
        self, count: int, project: str, a_second: int, nano_usd: int = 5_000_000, prompt_hash: str | None = None
    ) -> int | None:
        """Let seconds pass with so many attempts in each; returns after how many an anomaly was open."""
        for passed in range(1, count + 1):
            rows = [row(project, self.clock.now, nano_usd, prompt_hash) for _ in range(a_second)]
            async with self.engine.begin() as connection:
                if rows:
                    await connection.execute(sa.insert(ledger), rows)
            self.clock.now += timedelta(seconds=1)
            if passed % 2 == 0:
                await self.watch.look()
                async with self.engine.connect() as connection:
                    if a_second > 5 and await watching.open_projects(connection):
                        return passed
        return None

    async def told(self) -> list[Any]:
        async with self.engine.connect() as connection:
            rows = await connection.execute(sa.select(outbox).order_by(outbox.c.id))
            return [one for one in rows if one.topic == "inference.anomalies.v1"]

    async def listed(self) -> list[dict[str, Any]]:
        async with self.engine.connect() as connection:
            return await watching.recent(connection)


def row(project: str, at: datetime, nano_usd: int, prompt_hash: str | None = None) -> dict[str, Any]:
    return {
        "entry_id": str(uuid7()),
        "kind": "attempt",
        "attempt_id": str(uuid7()),
        "request_id": str(uuid7()),
        "first_attempt": True,
        "organisation_id": "o",
        "project_id": project,
        "key_id": "k",
        "provider": "alpha",
        "model": "sim-chat",
        "route": "/v1/chat/completions",
        "outcome": "ok",
        "cost_nano_usd": nano_usd,
        "input_tokens": 120,
        "prompt_hash": prompt_hash,
        "started_at": at,
        "duration_ms": 100,
        "usage_day": at.date(),
    }


@pytest.fixture
async def room(make_database: Any) -> Any:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(await make_database("inference_gateway"))
    yield Room(engine)
    await engine.dispose()


async def test_a_loop_in_the_ledger_is_found_told_and_throttled_until_its_time_is_over(room: Room) -> None:
    project = await room.project(throttle_requests_per_minute=3, throttle_minutes=10)
    await room.seconds(20, project, a_second=1)
    found_after = await room.seconds(60, project, a_second=40)
    assert found_after is not None
    assert found_after <= 60
    [opened] = await room.told()
    [anomaly] = await room.listed()
    assert (anomaly["project"], anomaly["model"], anomaly["closed_at"]) == ("lab", "sim-chat", None)
    assert anomaly["observed_nano_usd_per_minute"] > 4 * anomaly["expected_nano_usd_per_minute"]
    async with room.engine.connect() as connection:
        [budget] = await accounts.list_rows(connection, "budgets")
    assert (budget["metric"], budget["window"], budget["limit"], budget["cause"]) == (
        "requests",
        "minute",
        3,
        "anomaly",
    )
    room.clock.now += timedelta(minutes=11)
    await room.watch.look()
    async with room.engine.connect() as connection:
        assert await accounts.list_rows(connection, "budgets") == []
    assert len(await room.told()) == 2
    assert opened.key == project


async def test_a_loop_that_costs_next_to_nothing_is_found_by_its_repetitions(room: Room) -> None:
    project = await room.project()
    assert await room.seconds(60, project, a_second=6, nano_usd=1, prompt_hash="5e1f") is not None
    [anomaly] = await room.listed()
    assert anomaly["measure"] == "repeats"
    [told] = await room.told()
    assert json.loads(told.value)["measure"] == "requests"


async def test_a_batch_of_prompts_of_one_length_is_no_loop(room: Room) -> None:
    """Such as the panel's, on a first day."""
    project = await room.project()
    for _ in range(30):
        rows = [row(project, room.clock.now, 1, prompt_hash=str(uuid7())) for _ in range(12)]
        async with room.engine.begin() as connection:
            await connection.execute(sa.insert(ledger), rows)
        room.clock.now += timedelta(seconds=2)
        await room.watch.look()
    assert await room.listed() == []


async def test_a_person_lifts_a_throttle_and_the_anomaly_is_over(room: Room) -> None:
    project = await room.project(throttle_requests_per_minute=3)
    assert await room.seconds(60, project, a_second=40) is not None
    [anomaly] = await room.listed()
    async with room.engine.begin() as connection:
        assert await watching.lift(connection, anomaly["id"], now=room.clock.now)
        assert await accounts.list_rows(connection, "budgets") == []
        assert not await watching.lift(connection, anomaly["id"], now=room.clock.now)
    [anomaly] = await room.listed()
    assert anomaly["closed_at"] is not None


async def test_without_a_policy_nothing_is_throttled(room: Room) -> None:
    project = await room.project()
    assert await room.seconds(60, project, a_second=40) is not None
    async with room.engine.connect() as connection:
        assert await accounts.list_rows(connection, "budgets") == []


async def test_another_worker_goes_on_where_the_first_one_died(room: Room) -> None:
    project = await room.project()
    await room.seconds(20, project, a_second=40)
    room.watch = Watch(room.engine, FLOORS, room.clock)
    found_after = await room.seconds(45, project, a_second=40)
    assert found_after is not None
    assert len(await room.told()) == 1


async def test_history_is_learned_from_and_raises_nothing(room: Room) -> None:
    project = await room.project()
    then = room.clock.now - timedelta(hours=2)
    async with room.engine.begin() as connection:
        many = [row(project, then + timedelta(milliseconds=20 * at), 5_000_000) for at in range(5_000)]
        await connection.execute(sa.insert(ledger), many)
    await room.watch.look()
    assert await room.told() == []
