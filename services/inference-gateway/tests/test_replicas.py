"""Three gateway processes and 200 clients hammer one budget: the providers' account never exceeds it."""

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from sqlalchemy.ext.asyncio import create_async_engine

from inference_gateway.store import accounts

from .conftest import KEY, PROVIDERS, write_providers
from .processes import environment, start

LIMIT = 20_000_000
CLIENTS, EACH = 200, 5
FAULTS = ["", "", "", "fault=500@alpha", "fault=503@beta", "fault=cut", "cached"]


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
        }
    ) | {f"{name.upper()}_KEY": f"{name}-secret" for name in PROVIDERS}
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        project = await accounts.make_project(connection, "panel")
        await accounts.set_budget(connection, "project", project, "nano_usd", "total", LIMIT)
    await engine.dispose()
    gateways = await asyncio.gather(*(start("api", settings, tmp_path / "log") for _ in range(3)))
    try:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.post(f"{simulator}/_sim/reset"):
                pass
            urls = [gateway.url for gateway in gateways]
            ends = await asyncio.gather(*(client(session, urls, seed) for seed in range(CLIENTS)))
            async with session.get(f"{simulator}/_sim/account") as response:
                spent = sum(line["nano_usd"] for line in await response.json())
        counts = [status for end in ends for status in end]
        structlog.get_logger("replicas").info(
            "the budget holds", limit=LIMIT, spent=spent, served=counts.count(200), refused=counts.count(402)
        )
        assert LIMIT / 10 < spent <= LIMIT
        assert counts.count(402) > 0
    finally:
        for gateway in gateways:
            await gateway.stop()


async def client(session: aiohttp.ClientSession, urls: list[str], seed: int) -> list[int]:
    """A client that asks at random, and sometimes leaves in the middle of a stream."""
    chance = random.Random(seed)
    statuses = []
    for number in range(EACH):
        stream = chance.random() < 0.6
        body = {
            "model": chance.choice(["sim-chat", "sim-chat:cheapest", "sim-chat:alpha"]),
            "messages": [
                {"role": "user", "content": f"{number} words={chance.randint(1, 60)} {chance.choice(FAULTS)}"}
            ],
            "stream": stream,
            "max_tokens": 60,
        }
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"{chance.choice(urls)}/v1/chat/completions"
        async with session.post(url, json=body, headers=headers) as response:
            statuses.append(response.status)
            if stream and chance.random() < 0.2:
                await response.content.readany()
                response.close()
            else:
                await response.read()
    return statuses
