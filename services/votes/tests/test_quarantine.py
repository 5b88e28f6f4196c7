"""Doubtful votes are held with a reason, never dropped; an operator decides, and each act is an event."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_standalone.embedded.redis import Redis
from shipjury_standalone.ports import free_port
from votes.domain import Limits
from votes.jobs import watch_once

from .conftest import Replica, Served, Service, add_tool, outbox

Fold = Callable[[], Awaitable[None]]
Serving = Callable[[Service], Awaitable[Served]]


async def cast(service: Service, tool: str, count: int, address: str = "203.0.113.7", **headers: str) -> list[str]:
    """``count`` new voters vote ship; the states of their votes."""
    states = []
    for _ in range(count):
        reader = await service.reader(address, **headers)
        answer = await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
        states.append(answer.json()["my_vote"]["state"])
    return states


async def reasons(engine: AsyncEngine) -> list[tuple[str, str | None]]:
    async with engine.connect() as connection:
        rows = await connection.execute(sa.text("SELECT state, reason FROM ballots ORDER BY cast_at"))
        return [(row.state, row.reason) for row in rows]


async def test_a_burst_from_one_network_is_held_and_others_count(
    replica: Replica, tool: str, engine: AsyncEngine, fold: Fold
) -> None:
    service = await replica(limit_network_voters=3)
    assert await cast(service, tool, 5) == ["counted"] * 3 + ["held"] * 2
    assert await cast(service, tool, 1, address="198.51.100.1") == ["counted"]
    assert ("held", "burst from one network") in await reasons(engine)
    await fold()
    seen = (await (await service.reader()).get(f"/votes/{tool}")).json()
    assert (seen["ship"], seen["held"]) == (4, 2)


async def test_a_network_that_votes_for_many_tools_is_held_too(replica: Replica, engine: AsyncEngine) -> None:
    service = await replica(limit_network_voters_all=2)
    tools = [await add_tool(engine) for _ in range(3)]
    assert [(await cast(service, tool, 1))[0] for tool in tools] == ["counted", "counted", "held"]


async def test_a_burst_of_one_kind_of_client_from_many_networks_is_held(
    replica: Replica, tool: str, engine: AsyncEngine
) -> None:
    service = await replica(limit_signal_voters=2)
    states = [
        (await cast(service, tool, 1, address=f"198.51.{number}.1", **{"User-Agent": "script"}))[0]
        for number in range(3)
    ]
    assert states == ["counted", "counted", "held"]
    assert ("held", "burst from one kind of client") in await reasons(engine)


async def test_a_voter_faster_than_anybody_reads_is_held(replica: Replica, engine: AsyncEngine) -> None:
    reader = await (await replica(limit_speed_writes=2)).reader()
    tools = [await add_tool(engine) for _ in range(3)]
    await reader.get(f"/votes/{tools[0]}")
    answers = [await reader.put(f"/votes/{tool}", json={"verdict": "ship"}) for tool in tools]
    assert [answer.json()["my_vote"]["state"] for answer in answers] == ["counted", "counted", "held"]
    assert ("held", "impossible speed") in await reasons(engine)


async def test_one_voter_who_changes_a_vote_often_is_no_burst(replica: Replica, tool: str) -> None:
    reader = await (await replica(limit_network_voters=1)).reader()
    await reader.get(f"/votes/{tool}")
    for number in range(6):
        answer = await reader.put(f"/votes/{tool}", json={"verdict": ("ship", "skip")[number % 2]})
        assert answer.json()["my_vote"]["state"] == "counted"


async def test_more_than_a_reader_casts_is_refused_for_a_while(replica: Replica, tool: str) -> None:
    reader = await (await replica(limit_voter_writes=2)).reader()
    await reader.get(f"/votes/{tool}")
    answers = [await reader.put(f"/votes/{tool}", json={"verdict": "ship"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60


async def test_a_network_may_not_write_without_limit(replica: Replica, tool: str) -> None:
    service = await replica(limit_network_writes=2)
    answers = [await (await service.reader()).put(f"/votes/{tool}", json={"verdict": "ship"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    elsewhere = await service.reader("198.51.100.1")
    assert (await elsewhere.put(f"/votes/{tool}", json={"verdict": "ship"})).status_code == 200


async def test_an_invented_forwarded_address_does_not_split_a_burst(replica: Replica, tool: str) -> None:
    service = await replica(limit_network_voters=2)
    states = [(await cast(service, tool, 1, **{"X-Forwarded-For": f"198.51.{number}.1"}))[0] for number in range(3)]
    assert states[-1] == "held"


async def test_the_votes_that_began_a_burst_are_held_with_it(replica: Replica, tool: str, engine: AsyncEngine) -> None:
    service = await replica(limit_network_voters=3)
    await cast(service, tool, 4)
    await cast(service, tool, 1, address="198.51.100.1")
    await watch_once(engine, Limits(network_voters=3), datetime.now(UTC))
    assert sorted(await reasons(engine)) == [("counted", None)] + [("held", "burst from one network")] * 4
    assert len(await outbox(engine)) == 5 + 3


@pytest.mark.parametrize("away", ["gone", "silent"])
async def test_without_redis_votes_are_taken_and_held_as_unchecked(
    replica: Replica, tool: str, engine: AsyncEngine, away: str
) -> None:
    async def keep_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    ended = asyncio.Event()
    if away == "silent":
        server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    else:
        server, port = None, free_port()
    try:
        service = await replica(redis_url=f"redis://127.0.0.1:{port}/0", admission_timeout="PT0.1S")
        async with asyncio.timeout(10):
            assert await cast(service, tool, 3) == ["held"] * 3
    finally:
        ended.set()
        if server:
            server.close()
    assert await reasons(engine) == [("held", "not checked yet")] * 3


async def test_votes_count_again_when_redis_is_back(
    replica: Replica, tool: str, tmp_path: Path, until: Callable[..., Awaitable[None]]
) -> None:
    server = Redis(tmp_path / "redis", durable=False)
    server.start()
    try:
        service = await replica(redis_url=server.url, admission_timeout="PT0.5S")
        assert await cast(service, tool, 1) == ["counted"]
        server.stop()
        assert await cast(service, tool, 1) == ["held"]
        server.start()

        async def counts() -> bool:
            return await cast(service, tool, 1) == ["counted"]

        await until(counts, seconds=20)
    finally:
        server.stop()


async def test_unchecked_votes_are_checked_from_the_record(
    replica: Replica, tool: str, engine: AsyncEngine, fold: Fold
) -> None:
    service = await replica(redis_url=None)
    await cast(service, tool, 4)
    await cast(service, tool, 2, address="198.51.100.1")
    limits, now = Limits(network_voters=3), datetime.now(UTC)
    await watch_once(engine, limits, now)
    assert set(await reasons(engine)) == {("held", "not checked yet")}  # what came around them may not be there yet
    await watch_once(engine, limits, now + limits.burst_window / 5)
    assert (
        sorted(await reasons(engine)) == [("counted", "checked later")] * 2 + [("held", "burst from one network")] * 4
    )
    await fold()
    seen = (await (await service.reader()).get(f"/votes/{tool}")).json()
    assert (seen["ship"], seen["held"]) == (2, 4)


async def test_an_operator_releases_and_voids_and_each_act_is_an_event(
    replica: Replica, tool: str, engine: AsyncEngine, fold: Fold
) -> None:
    service = await replica(limit_network_voters=1)
    await cast(service, tool, 4)
    operator = await service.operator()
    listed = (await operator.get("/votes/held", params={"tool_id": tool})).json()["votes"]
    assert len(listed) == 3
    assert {vote["reason"] for vote in listed} == {"burst from one network"}
    one, *others = listed
    released = await operator.post(
        "/votes/held/release", json={"tool_id": tool, "voter": one["voter"], "reason": "a known office"}
    )
    voided = await operator.post("/votes/held/void", json={"network": others[0]["network"], "reason": "stuffing"})
    assert (released.json(), voided.json()) == ({"votes": 1}, {"votes": 2})
    told = [json.loads(row.value) for row in (await outbox(engine))[4:]]
    assert sorted((event["state"], event["reason"], event["aggregate_version"]) for event in told) == [
        ("counted", "a known office", 2),
        ("voided", "stuffing", 2),
        ("voided", "stuffing", 2),
    ]
    await fold()
    reader = await service.reader()
    seen = (await reader.get(f"/votes/{tool}")).json()
    assert (seen["ship"], seen["held"]) == (2, 0)
    await watch_once(engine, Limits(network_voters=1), datetime.now(UTC))
    assert (await operator.get("/votes/held")).json()["votes"] == []  # released stays released


async def test_held_votes_are_paged(replica: Replica, tool: str) -> None:
    service = await replica(limit_network_voters=1)
    await cast(service, tool, 6)
    operator, voters, after = await service.operator(), [], None
    while True:
        page = (await operator.get("/votes/held", params={"limit": 2} | ({"after": after} if after else {}))).json()
        voters += [vote["voter"] for vote in page["votes"]]
        after = page["next"]
        if after is None:
            break
    assert len(set(voters)) == len(voters) == 5


async def test_a_decision_on_everything_is_refused(replica: Replica) -> None:
    operator = await (await replica()).operator()
    assert (await operator.post("/votes/held/release", json={"reason": "all of them"})).status_code == 422
    assert (await operator.post("/votes/held/void", json={"held_for": "x"})).status_code == 422
    assert (await operator.get("/votes/held", params={"after": "rubbish"})).status_code == 422


async def test_a_counted_vote_may_be_voided_by_name(
    replica: Replica, tool: str, engine: AsyncEngine, fold: Fold
) -> None:
    service = await replica()
    reader = await service.reader()
    await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    await fold()
    (entry,) = (await reader.get(f"/votes/{tool}/log")).json()["entries"]
    operator = await service.operator()
    path = f"/votes/{tool}/voters/{entry['voter']}/void"
    assert (await operator.post(path, params={"reason": "sold"})).json() == {"votes": 1}
    assert (await operator.post(path, params={"reason": "sold"})).status_code == 409
    assert (await operator.post(f"/votes/{tool}/voters/nobody/void", params={"reason": "sold"})).status_code == 404
    stale = await reader.put(f"/votes/{tool}", json={"verdict": "skip", "version": 1})
    assert stale.status_code == 409
    assert stale.json()["current"]["my_vote"]["state"] == "voided"


async def test_a_vote_and_an_operators_act_at_once_lose_neither(
    replica: Replica, tool: str, engine: AsyncEngine, fold: Fold
) -> None:
    service = await replica(limit_network_voters=1)
    readers = [await service.reader() for _ in range(6)]
    for reader in readers:
        await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    operator = await service.operator()
    await asyncio.gather(
        operator.post("/votes/held/release", json={"tool_id": tool, "reason": "looked at"}),
        *(reader.put(f"/votes/{tool}", json={"verdict": "skip"}) for reader in readers),
    )
    await fold()
    seen = (await readers[0].get(f"/votes/{tool}")).json()
    assert seen["ship"] == 0
    assert seen["skip"] + seen["held"] == 6
    async with engine.connect() as connection:
        now = {
            row.state: row.n
            for row in await connection.execute(sa.text("SELECT state, count(*) n FROM ballots GROUP BY state"))
        }
    assert (seen["skip"], seen["held"]) == (now.get("counted", 0), now.get("held", 0))


async def test_the_window_of_a_burst_ends(engine: AsyncEngine, replica: Replica, tool: str) -> None:
    await cast(await replica(redis_url=None), tool, 4)
    limits = Limits(network_voters=3, burst_window=timedelta(seconds=1))
    async with engine.begin() as connection:
        await connection.execute(
            sa.text(
                "UPDATE ballots SET cast_at = cast_at - (row_number * interval '2 seconds') FROM "
                "(SELECT voter v, row_number() OVER () FROM ballots) n WHERE voter = v"
            )
        )
    await watch_once(engine, limits, datetime.now(UTC))
    assert await reasons(engine) == [("counted", "checked later")] * 4


async def test_nor_does_one_invented_on_the_machine_itself(replica: Replica, serving: Serving, tool: str) -> None:
    served = await serving(await replica(limit_network_voters=2))
    states = []
    for number in range(3):
        async with httpx.AsyncClient(headers={"X-Forwarded-For": f"198.51.{number}.1"}) as reader:
            answer = await reader.put(f"{served.address}/votes/{tool}", json={"verdict": "ship"})
            states.append(answer.json()["my_vote"]["state"])
    assert states == ["counted", "counted", "held"]
