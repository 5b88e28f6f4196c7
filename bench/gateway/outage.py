"""Postgres or Kafka away for minutes: do requests go on, does the ledger catch up, is anything lost?

`.venv/bin/python bench/gateway/outage.py postgres --minutes 10` asks at a low rate before, during and after; at the end
every attempt is held against the simulated providers' account, and every event against the ledger's rows.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import ledger as bench
import structlog
from sqlalchemy.ext.asyncio import create_async_engine

from inference_gateway.store.admission import Streams
from inference_gateway.store.resp import RedisPipe
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.embedded.redis import Redis


@dataclass
class Asking:
    """A client at a steady rate (requests a second)."""

    url: str
    rate: float
    statuses: Counter[str] = field(default_factory=Counter)
    whole: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    phase: str = "before"

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until ``stop``."""
        chance = random.Random(1)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            while not stop.is_set():
                group.create_task(self._ask(session, stream=chance.random() < 0.5))
                await asyncio.sleep(1 / self.rate)

    async def _ask(self, session: aiohttp.ClientSession, *, stream: bool) -> None:
        phase, began = self.phase, time.monotonic()
        body = {
            "model": "sim-chat",
            "messages": [{"role": "user", "content": "words=5"}],
            "stream": stream,
            "max_tokens": 50,
        }
        headers = {"Authorization": f"Bearer {bench.KEY}"}
        try:
            async with session.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as response:
                raw = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.statuses[f"{phase} {type(error).__name__}"] += 1
            return
        self.statuses[f"{phase} {response.status}"] += 1
        self.seconds.setdefault(phase, []).append(time.monotonic() - began)
        if response.status == 200 and (not stream or raw.endswith(b"data: [DONE]\n\n")):
            self.whole.append(response.headers["x-shipjury-request-id"])


async def main(what: str, minutes: float, rate: float) -> None:
    """Start everything, take one part away, bring it back, hold."""
    processes, truth = bench.tests("processes"), bench.tests("truth")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, redis = Postgres(folder / "postgres", durable=False), Redis(folder / "redis")
        broker = processes.Broker(folder / "kafka")
        for part in (postgres, redis, broker):
            part.start()
        simulator = bench.start_simulator()
        running: dict[str, Any] = {}
        try:
            assert simulator.stdout is not None
            address = simulator.stdout.readline().strip()
            settings = await bench.environment(processes, folder, postgres, redis, address)
            settings["GATEWAY_KAFKA_BOOTSTRAP_SERVERS"] = broker.address
            for role in ("api", "worker"):
                running[role] = await processes.start(role, settings, folder / "log", seconds=400)
            bench.project_budget(settings)
            asking = Asking(running["api"].url, rate)
            waiting = await outage(asking, postgres if what == "postgres" else broker, 60 * minutes, redis)
            began = time.monotonic()
            await truth.settled(redis.url, seconds=120)
            caught_up = time.monotonic() - began
            figures = await hold(truth, postgres, address, asking)
            events = await truth.published(broker.address, figures["rows"])
            print_table(what, minutes, asking, waiting, caught_up, figures, events)
        finally:
            for one in running.values():
                await one.kill()
            simulator.terminate()
            for part in (broker, redis, postgres):
                part.stop()


async def outage(asking: Asking, part: Any, seconds: float, redis: Redis) -> int:
    """Ask for a while, then without the part, then with it again. Returns how many entries waited when it came back.

    The part is started from this thread: the kernel ties a child to the thread that made it.
    """
    stop = asyncio.Event()
    running = asyncio.create_task(asking.run(stop))
    await asyncio.sleep(10)
    await asyncio.to_thread(part.stop)
    asking.phase = "without"
    await asyncio.sleep(seconds)
    pipe = RedisPipe(redis.url)
    waiting = await Streams(pipe).length()
    await pipe.close()
    asking.phase = "coming back"
    part.start()
    asking.phase = "after"
    await asyncio.sleep(10)
    stop.set()
    await running
    return waiting


async def hold(truth: ModuleType, postgres: Postgres, simulator: str, asking: Asking) -> dict[str, Any]:
    """Hold the ledger against the providers' account."""
    async with aiohttp.ClientSession() as session, session.get(f"{simulator}/_sim/account") as response:
        lines = {line["attempt_id"]: line for line in await response.json()}
    engine = create_async_engine(postgres.url("ledger"))
    async with engine.connect() as connection:
        figures: dict[str, Any] = await truth.hold(connection, lines, asking.whole)
    await engine.dispose()
    return figures


def print_table(
    what: str, minutes: float, asking: Asking, waiting: int, caught_up: float, figures: dict[str, Any], events: int
) -> None:
    """What was seen."""
    table = {
        "away": f"{what}, {minutes:g} minutes",
        "answers by phase": dict(sorted(asking.statuses.items())),
        "median ms by phase": {
            phase: round(statistics.median(times) * 1000, 1) for phase, times in asking.seconds.items()
        },
        "entries that waited in Redis when it came back": waiting,
        "seconds until the ledger had them, after 10 s": f"{caught_up:.1f}",
        "attempts that the providers saw": figures["seen_by_providers"],
        "attempts in the ledger": figures["attempts"],
        "uncertain": figures["uncertain"],
        "ledger, nano-USD": figures["ledger_nano_usd"],
        "providers' account, nano-USD": figures["providers_nano_usd"],
        "different events in Kafka": events,
    }
    for name, value in table.items():
        print(f"{name:48} {value}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("postgres", "kafka"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=4)
    parser.add_argument("--nice", type=int, default=1)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    os.nice(options.nice)
    asyncio.run(main(options.what, options.minutes, options.rate))
