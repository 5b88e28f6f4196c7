"""Who a voter is: a cookie that nobody can forge, an account where a trusted proxy names one, and no address."""

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from votes.api.voters import COOKIE, Voters
from votes.app import api
from votes.settings import Settings
from votes.store.secrets import DailySalt, KeyChanged, destroy_salts

from .conftest import Replica, add_tool, outbox

TODAY = datetime(2026, 11, 20, 12, tzinfo=UTC)


def request(peer: str = "203.0.113.7", **headers: str) -> Request:
    raw = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "client": (peer, 1), "headers": raw, "scheme": "http", "server": ("x", 80)})


def voters(**changes: Any) -> Voters:
    return Voters(**({"cookie_keys": [b"new"], "pseudonym_key": b"p", "network_key": b"n"} | changes))


async def test_the_cookie_is_the_voter_and_is_kept_from_scripts_and_other_sites(replica: Replica, tool: str) -> None:
    reader = await (await replica()).reader()
    looked = await reader.get(f"/votes/{tool}")
    assert "Max-Age" not in looked.headers["set-cookie"]  # who only reads is remembered for the visit
    voted = await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    cookie = voted.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/votes", "Max-Age="):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert looked.cookies[COOKIE] == voted.cookies[COOKIE]


@pytest.mark.parametrize("forged", ["", "x", "A" * 22, "A" * 22 + "." + "B" * 43, "\x7f" * 30, "A" * 4000])
async def test_a_forged_cookie_makes_a_new_voter_and_no_error(replica: Replica, tool: str, forged: str) -> None:
    service = await replica()
    reader = await service.reader(Cookie=f"{COOKIE}={forged}")
    assert (await reader.get(f"/votes/{tool}")).json()["my_vote"] is None
    answer = await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    assert answer.status_code == 200
    assert answer.cookies[COOKIE] != forged


async def test_a_cookie_of_another_voter_with_ones_own_signature_is_forged(replica: Replica, tool: str) -> None:
    service = await replica()
    one, other = await service.reader(), await service.reader()
    for reader in (one, other):
        await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    mixed = one.cookies[COOKIE].split(".")[0] + "." + other.cookies[COOKIE].split(".")[1]
    thief = await service.reader(Cookie=f"{COOKIE}={mixed}")
    assert (await thief.get(f"/votes/{tool}")).json()["my_vote"] is None


def test_keys_rotate_without_losing_voters() -> None:
    before = voters(cookie_keys=[b"old"]).of(request())
    during = voters(cookie_keys=[b"new", b"old"]).of(request(Cookie=f"{COOKIE}={before.cookie}"))
    assert during.id == before.id
    after = voters(cookie_keys=[b"new"]).of(request(Cookie=f"{COOKIE}={during.cookie}"))
    assert after.id == before.id
    assert voters(cookie_keys=[b"new"]).of(request(Cookie=f"{COOKIE}={before.cookie}")).id != before.id


def test_an_account_is_believed_from_a_trusted_proxy_only() -> None:
    known = voters(account_header="X-Forwarded-User", proxies=[ip_network("10.0.0.0/8")])
    assert known.of(request("10.1.2.3", X_Forwarded_User="ada")).id == "account:ada"
    assert known.of(request("203.0.113.7", X_Forwarded_User="ada")).id.startswith("cookie:")
    assert voters(account_header="X-Forwarded-User").of(request("10.1.2.3", X_Forwarded_User="ada")).cookie
    assert voters(proxies=[ip_network("10.0.0.0/8")]).of(request("10.1.2.3", X_Forwarded_User="ada")).cookie


async def test_an_account_votes_once_from_two_browsers(replica: Replica, tool: str, engine: AsyncEngine) -> None:
    service = await replica(account_header="X-Forwarded-User", trusted_proxies="10.0.0.0/8")
    for _ in range(2):
        browser = await service.reader("10.0.0.1", **{"X-Forwarded-User": "ada"})
        answer = await browser.put(f"/votes/{tool}", json={"verdict": "ship"})
        assert "set-cookie" not in answer.headers
    assert len(await outbox(engine)) == 1


async def test_behind_a_trusted_proxy_with_https_the_cookie_is_secure(replica: Replica, tool: str) -> None:
    service = await replica(trusted_proxies="10.0.0.0/8")
    for address, secure in (("10.0.0.1", True), ("203.0.113.7", False)):
        reader = await service.reader(address, **{"X-Forwarded-Proto": "https"})
        answer = await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
        assert ("Secure" in answer.headers["set-cookie"]) is secure


async def test_pseudonyms_of_one_voter_differ_from_tool_to_tool(replica: Replica, engine: AsyncEngine) -> None:
    reader = await (await replica()).reader()
    for tool in (await add_tool(engine), await add_tool(engine)):
        await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    async with engine.connect() as connection:
        names = list(await connection.scalars(sa.text("SELECT voter FROM ballots")))
    assert len(set(names)) == 2


async def test_neither_address_nor_cookie_is_stored_anywhere(
    replica: Replica, tool: str, engine: AsyncEngine, redis_url: str
) -> None:
    from redis.asyncio import Redis

    reader = await (await replica(trusted_proxies="10.0.0.0/8")).reader(
        "10.0.0.1", **{"X-Forwarded-For": "203.0.113.77"}
    )
    await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    secret = reader.cookies[COOKIE].split(".")[0]
    async with engine.connect() as connection:
        rows = await connection.scalars(
            sa.text("""
                SELECT b::text FROM ballots b UNION ALL
                SELECT convert_from(value, 'UTF8') || headers::text FROM outbox
            """)
        )
        stored = "\n".join(rows)
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        keys = [key async for key in client.scan_iter()]
        assert all([await client.pttl(key) > 0 for key in keys])
        members = [str(await client.smembers(key)) for key in keys if await client.type(key) == "set"]
        stored += "\n".join([*keys, *members])
    assert tool in stored
    for private in ("203.0.113", "10.0.0", secret):
        assert private not in stored


async def test_hashes_of_a_network_are_equal_within_a_day_and_its_salt_is_destroyed_after(
    engine: AsyncEngine,
) -> None:
    known, here, other = voters(), request("203.0.113.7"), request("203.0.113.200")

    def network(asked: Request, salt: bytes) -> str:
        return known.visit(asked, "tool", known.of(asked), salt).network

    one, replica = DailySalt(engine), DailySalt(engine)
    morning, evening = await asyncio.gather(one.at(TODAY), replica.at(TODAY + timedelta(hours=11)))
    assert network(here, morning) == network(other, evening)
    tomorrow = await one.at(TODAY + timedelta(days=1))
    assert network(here, tomorrow) != network(here, morning)
    async with engine.connect() as connection:
        days = list(await connection.scalars(sa.text("SELECT day FROM salts")))
    assert days == [TODAY.date() + timedelta(days=1)]


async def test_the_worker_destroys_a_salt_though_nobody_votes(engine: AsyncEngine) -> None:
    await DailySalt(engine).at(TODAY)
    async with engine.begin() as connection:
        assert await destroy_salts(connection, TODAY.date()) == 0
        assert await destroy_salts(connection, TODAY.date() + timedelta(days=1)) == 1


async def test_drawn_keys_are_the_same_for_every_replica_and_after_a_restart(
    replica: Replica, tool: str, engine: AsyncEngine
) -> None:
    one, other = await replica(), await replica()
    reader = await one.reader()
    await reader.put(f"/votes/{tool}", json={"verdict": "ship"})
    beside = await other.reader(Cookie=f"{COOKIE}={reader.cookies[COOKIE]}")
    assert (await beside.get(f"/votes/{tool}")).json()["my_vote"]["vote"] == "ship"


async def test_the_service_does_not_start_with_another_pseudonym_key(replica: Replica, database: str) -> None:
    service = await replica(pseudonym_key="first")
    changed = Settings(**(service.settings.model_dump() | {"pseudonym_key": "second"}))
    with pytest.raises(KeyChanged):
        async with api(changed):
            pass
