"""Three gateway processes and 200 clients hammer one budget, through fallbacks, hedges, retries, streams of very
different lengths, cached input, clients that leave and gateways that are killed: the providers' account never exceeds
it."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import structlog
from sqlalchemy.ext.asyncio import create_async_engine

from inference_gateway.domain.health import ENOUGH
from inference_gateway.store import accounts
from inference_gateway.store.admission import Streams
from inference_gateway.store.entries import Facts
from inference_gateway.store.resp import RedisPipe
from shipjury_standalone.testing import wait_until

from .conftest import KEY, PROVIDERS, write_providers
from .processes import Running, environment, start

LIMIT = 120_000_000
CLIENTS, EACH = 200, 5
FAULTS = ["", "", "", "", "fault=500@alpha", "fault=hang@beta", "fault=cut", "fault=hang@alpha", "cached", "cached"]


@pytest.mark.timeout(240)
async def test_three_gateways_and_two_hundred_clients_never_spend_more_than_one_budget(
    make_database: Any, redis_url: str, simulator: str, tmp_path: Path
) -> None:
    folder = tmp_path / "providers"
    folder.mkdir()
    write_providers(folder, simulator)
    database_url = await make_database("inference_gateway")
    settings = environment(
        {
            "database_url": database_url,
            "redis_url": redis_url,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "operator_key": "operators",
            "providers_dir": folder,
            "shipped_providers": False,
            "bootstrap_key": KEY,
            "admission_seconds": 10,
            "hedge_share": 1,
            "first_token_seconds": 3,
            "answer_seconds": 5,
            "drain_seconds": 2,
        }
    ) | {f"{name.upper()}_KEY": f"{name}-secret" for name in PROVIDERS}
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        project = await accounts.make_project(connection, "panel")
        await accounts.set_budget(connection, "project", project, "nano_usd", "total", LIMIT)
    await engine.dispose()
    gateways = list(await asyncio.gather(*(start("api", settings, tmp_path / "log") for _ in range(3))))
    ends: list[int] = []
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with session.post(f"{simulator}/_sim/reset"):
                pass
            # So that each knows how soon a provider begins: from then on what is slower gets a hedge.
            await asyncio.gather(*(warm_up(session, gateway) for gateway in gateways))
            asking = [asyncio.create_task(client(session, gateways, seed, ends)) for seed in range(CLIENTS)]
            await wait_until(lambda: len(ends) >= 0.1 * CLIENTS * EACH, seconds=90)
            await gateways.pop(0).kill()
            gateways.append(await start("api", settings, tmp_path / "log"))
            await wait_until(lambda: len(ends) >= 0.4 * CLIENTS * EACH, seconds=90)
            await gateways.pop(0).kill()
            await asyncio.gather(*asking)
            async with session.get(f"{simulator}/_sim/account") as response:
                lines = await response.json()
    finally:
        for gateway in gateways:
            await gateway.stop()
    spent = sum(line["nano_usd"] for line in lines)
    counts = Counter(ends)
    entries = await settled(redis_url)
    hedges = sum(1 for facts in entries if facts.explanation and "hedges" in facts.explanation)
    structlog.get_logger("replicas").info(
        "the budget holds",
        limit=LIMIT,
        spent=spent,
        requests=len(ends),
        served=counts[200],
        refused=counts[402],
        cut_off_by_kills=counts[0],
        attempts=len(lines),
        hedges=hedges,
        fallbacks_and_retries=sum(1 for facts in entries if not facts.first) - hedges,
        cached=sum(1 for line in lines if line["cached"]),
        longest_answer=max(line["output"] for line in lines),
    )
    assert LIMIT / 20 < spent <= LIMIT
    assert counts[402] > 0
    assert hedges > 0


async def warm_up(session: aiohttp.ClientSession, gateway: Running) -> None:
    """Streams that begin at once, one after the other."""
    url = f"{gateway.url}/v1/chat/completions"
    for number in range(2 * ENOUGH):
        body = {
            "model": f"sim-chat:{('alpha', 'beta')[number % 2]}",
            "messages": [{"role": "user", "content": "words=1"}],
            "stream": True,
            "max_tokens": 1,
        }
        assert await ask(session, url, body, leave=False) == 200


async def client(session: aiohttp.ClientSession, gateways: list[Running], seed: int, ends: list[int]) -> None:
    """A client that asks at random, and sometimes leaves in the middle of a stream."""
    chance = random.Random(seed)
    for number in range(EACH):
        stream = chance.random() < 0.6
        longest = chance.choice((5, 60, 600))
        text = f"{number} words={chance.randint(1, longest)} {chance.choice(FAULTS)}"
        body = {
            "model": chance.choice(["sim-chat", "sim-chat:cheapest", "sim-chat:alpha"]),
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            "max_tokens": longest,
        }
        url = f"{chance.choice(gateways).url}/v1/chat/completions"
        try:
            ends.append(await ask(session, url, body, leave=stream and chance.random() < 0.2))
        except (aiohttp.ClientError, OSError):
            ends.append(0)  # its gateway was killed


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any], *, leave: bool) -> int:
    """One request; what is refused says how much is left, and that it is too little."""
    async with session.post(url, json=body, headers={"Authorization": f"Bearer {KEY}"}) as response:
        if leave and response.status == 200:
            await response.content.readany()
            response.close()
            return response.status
        raw = await response.read()
        if response.status == 402:
            budget = orjson.loads(raw)["error"]["budget"]
            assert budget["limit"] == LIMIT
            assert budget["left"] < budget["asked"]
        return response.status


async def settled(redis_url: str) -> list[Facts]:
    """The facts of every attempt that is settled."""
    pipe = RedisPipe(redis_url)
    found = await Streams(pipe).read(100_000)
    await pipe.close()
    return [Facts.decode(facts) for _, _, facts, _ in found]
