"""What readers may rely on when they vote."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_standalone.testing import wait_until
from votes.api.voters import COOKIE

from .conftest import Replica, add_tool, outbox

Fold = Callable[[], Awaitable[None]]


async def test_a_vote_is_the_readers_at_once_and_the_tally_follows(replica: Replica, tool: str, fold: Fold) -> None:
    reader = await (await replica()).reader()
    answer = await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    assert answer.status_code == 200
    seen = (await reader.get(f"/votes/{tool}")).json()
    assert seen["my_vote"] == {"vote": "ship", "version": 1, "state": "counted"}
    assert (seen["ship"], seen["version"]) == (0, 0)
    await fold()
    seen = (await reader.get(f"/votes/{tool}")).json()
    assert (seen["ship"], seen["skip"], seen["held"], seen["version"]) == (1, 0, 0, 1)
    assert (seen["share"], seen["interval"]) == (None, None)


async def test_a_vote_is_answered_when_it_is_committed_with_its_event(
    replica: Replica, tool: str, engine: AsyncEngine
) -> None:
    reader = await (await replica()).reader()
    await reader.put(f"/votes/{tool}", json={"verdict": "skip"})
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM ballots")) == 1
    (row,) = await outbox(engine)
    assert row.key == tool


async def test_the_same_vote_twice_at_once_counts_once(
    replica: Replica, tool: str, engine: AsyncEngine, fold: Fold
) -> None:
    one, other = await replica(), await replica()
    reader = await one.reader()
    await reader.get(f"/votes/{tool}")
    beside = await other.reader(Cookie=f"{COOKIE}={reader.cookies[COOKIE]}")
    asked = [client.put(f"/votes/{tool}", json={"verdict": "ship", "version": 0}) for client in (reader, beside) * 5]
    assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 10
    assert len(await outbox(engine)) == 1
    await fold()
    assert (await reader.get(f"/votes/{tool}")).json()["ship"] == 1


async def test_votes_of_many_readers_over_two_replicas_are_all_counted(
    replica: Replica, engine: AsyncEngine, fold: Fold
) -> None:
    replicas = [await replica(limit_network_voters=1000), await replica(limit_network_voters=1000)]
    tools = [await add_tool(engine) for _ in range(3)]

    async def cast(number: int) -> int:
        reader = await replicas[number % 2].reader()
        answers = [await reader.put(f"/votes/{tool}", json={"verdict": "ship"}) for tool in tools[:: (-1) ** number]]
        return sum(answer.status_code == 200 for answer in answers)

    assert sum(await asyncio.gather(*(cast(number) for number in range(40)))) == 120
    await fold()
    reader = await replicas[0].reader()
    for tool in tools:
        seen = (await reader.get(f"/votes/{tool}")).json()
        assert (seen["ship"], seen["share"]) == (40, 1.0)
        assert 0.9 < seen["interval"]["low"] < 1.0


async def test_a_stale_version_is_answered_with_the_current_state(replica: Replica, tool: str) -> None:
    reader = await (await replica()).reader()
    await reader.put(f"/votes/{tool}", json={"verdict": "ship", "version": 0})
    await reader.put(f"/votes/{tool}", json={"verdict": "skip", "version": 1})
    stale = await reader.put(f"/votes/{tool}", json={"verdict": "ship", "version": 0})
    assert stale.status_code == 409
    assert stale.headers["content-type"] == "application/problem+json"
    assert stale.json()["current"]["my_vote"] == {"vote": "skip", "version": 2, "state": "counted"}
    assert (await reader.get(f"/votes/{tool}")).json()["my_vote"]["vote"] == "skip"


async def test_withdrawing_keeps_the_version(replica: Replica, tool: str, fold: Fold) -> None:
    reader = await (await replica()).reader()
    await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    gone = (await reader.delete(f"/votes/{tool}", params={"version": 1})).json()
    assert (gone["my_vote"], gone["my_version"]) == (None, 2)
    late = await reader.put(f"/votes/{tool}", json={"verdict": "ship", "version": 0})
    assert late.status_code == 409
    await fold()
    assert (await reader.get(f"/votes/{tool}")).json()["ship"] == 0
    again = (await reader.put(f"/votes/{tool}", json={"verdict": "skip", "version": 2})).json()
    assert again["my_version"] == 3


async def test_withdrawing_what_was_never_cast_changes_nothing(
    replica: Replica, tool: str, engine: AsyncEngine
) -> None:
    reader = await (await replica()).reader()
    answer = await reader.delete(f"/votes/{tool}")
    assert (answer.status_code, answer.json()["my_version"]) == (200, 0)
    assert await outbox(engine) == []


async def test_an_unknown_tool_is_not_found(replica: Replica, tool: str) -> None:
    reader = await (await replica()).reader()
    for answer in (
        await reader.put(f"/votes/{uuid4()}", json={"verdict": "ship"}),
        await reader.get(f"/votes/{uuid4()}"),
        await reader.get(f"/votes/{uuid4()}/log"),
        await reader.get("/votes/stream", params={"tools": str(uuid4())}),
    ):
        assert answer.status_code == 404
        assert answer.json()["status"] == 404


async def test_on_a_retired_tool_votes_may_only_be_withdrawn(replica: Replica, tool: str, engine: AsyncEngine) -> None:
    reader = await (await replica()).reader()
    await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    async with engine.begin() as connection:
        await connection.execute(sa.text("UPDATE tools SET status = 'retired'"))
    assert (await reader.put(f"/votes/{tool}", json={"verdict": "skip"})).status_code == 410
    assert (await reader.get(f"/votes/{tool}")).json()["my_vote"]["vote"] == "ship"
    assert (await reader.delete(f"/votes/{tool}")).json()["my_vote"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"verdict": "maybe"}, "body.verdict"),
        ({}, "body.verdict"),
        ({"verdict": "ship", "version": -1}, "body.version"),
        ({"verdict": "ship", "voter": "me"}, "body.voter"),
        ([], "body"),
    ],
)
async def test_bad_input_is_named_by_its_field(replica: Replica, tool: str, body: object, field: str) -> None:
    reader = await (await replica()).reader()
    answer = await reader.put(f"/votes/{tool}", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(replica: Replica, tool: str) -> None:
    async def endless() -> object:
        for _ in range(100):
            yield b" " * 1024

    reader = await (await replica()).reader()
    for content in (b" " * 100_000, endless()):
        answer = await reader.put(f"/votes/{tool}", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413


async def test_a_plain_form_votes_and_leads_back(replica: Replica, tool: str) -> None:
    reader = await (await replica()).reader(Origin="http://site.test")
    answer = await reader.post(f"/votes/{tool}", data={"verdict": "ship", "back": "/tools/x#votes"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tools/x#votes")
    assert (await reader.get(f"/votes/{tool}")).json()["my_vote"]["vote"] == "ship"
    await reader.post(f"/votes/{tool}", data={"verdict": "withdraw", "back": "/"})
    assert (await reader.get(f"/votes/{tool}")).json()["my_vote"] is None


@pytest.mark.parametrize("back", ["https://evil.test/", "//evil.test", "/\\evil.test", "evil", "/a\r\nSet-Cookie: x=1"])
async def test_a_form_leads_nowhere_but_back(replica: Replica, tool: str, back: str) -> None:
    reader = await (await replica()).reader()
    answer = await reader.post(f"/votes/{tool}", data={"verdict": "ship", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_a_form_that_fails_says_so_in_words(replica: Replica) -> None:
    reader = await (await replica()).reader()
    answer = await reader.post(f"/votes/{uuid4()}", data={"verdict": "ship", "back": '/"><script>'})
    assert answer.status_code == 404
    assert "There is no tool" in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
    ],
)
async def test_votes_sent_by_other_sites_are_refused(
    replica: Replica, tool: str, engine: AsyncEngine, headers: dict[str, str]
) -> None:
    reader = await (await replica()).reader(**headers)
    asked = [
        await reader.post(f"/votes/{tool}", data={"verdict": "ship"}),
        await reader.put(f"/votes/{tool}", json={"verdict": "ship"}),
        await reader.delete(f"/votes/{tool}"),
    ]
    assert [answer.status_code for answer in asked] == [403] * 3
    assert await outbox(engine) == []


async def test_past_what_may_wait_readers_are_told_to_come_back(
    replica: Replica, engine: AsyncEngine, tool: str
) -> None:
    service = await replica(most_waiting=3, patience="PT0.5S")
    readers = [await service.reader() for _ in range(12)]
    async with engine.begin() as connection:  # so that nothing is committed meanwhile
        await connection.execute(sa.text("LOCK TABLE ballots IN EXCLUSIVE MODE"))
        answers = await asyncio.gather(*(one.put(f"/votes/{tool}", json={"verdict": "ship"}) for one in readers))
    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["retry-after"] for answer in answers)
    assert any("wait already" in answer.json()["detail"] for answer in answers)

    async def there_is_room() -> bool:
        return (await readers[0].put(f"/votes/{tool}", json={"verdict": "ship"})).status_code == 200

    await wait_until(there_is_room)


async def test_votes_answers_are_not_cached(replica: Replica, tool: str) -> None:
    reader = await (await replica()).reader()
    assert (await reader.get(f"/votes/{tool}")).headers["cache-control"] == "private, no-store"
