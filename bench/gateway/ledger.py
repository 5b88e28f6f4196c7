"""Is the ledger true? Many requests with random faults and clients that leave, while gateways, Redis and the ledger's
worker are killed (-9) in turn; then every attempt is held against the simulated providers' own account.

`.venv/bin/python bench/gateway/ledger.py --requests 20000` prints a table; it fails where an attempt is missing, stands
twice, or costs another sum than the provider's. It ends by itself within `--minutes`.
"""

import argparse
import asyncio
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import asyncpg
import structlog
import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from inference_gateway.store.resp import RedisPipe
from shipjury_delivery.migrations import upgrade
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.embedded.redis import Redis
from shipjury_standalone.testing import wait_until

ROOT = Path(__file__).parents[2]
KEY = "sk-sj-ledger-bench"
ORDINARY = 12
"""Of so many requests and one for each fault below, none of these is faulty."""
FAULTS = [
    "fault=429@alpha",
    "fault=500@alpha",
    "fault=503@beta",
    "fault=reset",
    "fault=reset@gamma",
    "fault=hang@alpha",
    "fault=cut",
    "fault=reset-mid",
    "fault=stall",
    "fault=malformed",
    "fault=error-event",
    "fault=no-finish",
    "fault=no-usage",
    "fault=wrong-usage",
    "fault=slow",
    "cached",
]
PRICES = {
    "alpha": ("sim-chat", "0.59", "0.295", "0.79"),
    "beta": ("beta/sim-chat", "0.0375", "0.0375", "0.15"),
    "gamma": ("gamma-sim-chat", "2.5", "1.25", "10"),
}


def tests(name: str) -> ModuleType:
    """A module of the gateway's tests, by its file."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"services/inference-gateway/tests/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Run:
    """What is asked and what is killed."""

    requests: int
    clients: int
    until: float
    urls: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    left: int = 0
    whole: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    begun: int = 0

    @property
    def ended(self) -> int:
        """Requests that are over, well or not."""
        return sum(self.statuses.values())

    async def client(self, session: aiohttp.ClientSession, seed: int) -> None:
        """Ask at random until enough has been asked."""
        chance = random.Random(seed)
        while self.begun < self.requests and time.monotonic() < self.until:
            self.begun += 1
            try:
                await self._ask(session, chance)
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.statuses[0] += 1
                await asyncio.sleep(0.1)  # a gateway is being killed; a client would wait too

    async def _ask(self, session: aiohttp.ClientSession, chance: random.Random) -> None:
        stream = chance.random() < 0.5
        fault = chance.choice([*FAULTS, *[""] * ORDINARY * 4]) if chance.random() < 0.6 else ""
        body = {
            "model": chance.choice(["sim-chat", "sim-chat", "sim-chat:alpha", "sim-chat:cheapest", "sim-chat:gamma"]),
            "messages": [{"role": "user", "content": f"request words={chance.randint(1, 12)} {fault}"}],
            "stream": stream,
            "max_tokens": chance.choice((5, 200)),
        }
        url = chance.choice(list(self.urls.values()))
        headers = {"Authorization": f"Bearer {KEY}"}
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
            if response.status == 200 and chance.random() < 0.05:
                if stream:
                    await response.content.readany()
                response.close()
                self.left += 1
                self.statuses[200] += 1
                return
            raw = await response.read()
            self.statuses[response.status] += 1
            if response.status == 200 and (not stream or raw.endswith(b"data: [DONE]\n\n")):
                self.whole.append(response.headers["x-shipjury-request-id"])


async def main(requests: int, clients: int, kills: int, minutes: float) -> None:
    """Start everything, hammer, kill, hold."""
    processes, truth = tests("processes"), tests("truth")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, redis = Postgres(folder / "postgres", durable=False), Redis(folder / "redis")
        postgres.start()
        redis.start()
        simulator = start_simulator()
        running: dict[str, Any] = {}
        try:
            assert simulator.stdout is not None
            address = simulator.stdout.readline().strip()
            settings = await environment(processes, folder, postgres, redis, address)
            for one in ("gateway 1", "gateway 2"):
                running[one] = await processes.start("api", settings, folder / "log")
            running["worker"] = await processes.start("worker", settings, folder / "log")
            project_budget(settings)
            run = Run(requests, clients, time.monotonic() + 60 * (minutes - 1.5))
            run.urls = {one: running[one].url for one in running if one != "worker"}
            began = time.monotonic()
            await hammer(run, running, redis, processes, settings, folder, kills)
            asked_s = time.monotonic() - began
            await truth.settled(redis.url, seconds=80)
            settled_s = time.monotonic() - began - asked_s
            figures = await hold(truth, postgres, redis, address, run)
            print_table(run, figures, asked_s, settled_s)
        finally:
            for one in running.values():
                await one.kill()
            simulator.terminate()
            simulator.wait(10)
            redis.stop()
            postgres.stop()


def start_simulator() -> subprocess.Popen[str]:
    """The simulated providers; the first line that they print is their address."""
    return subprocess.Popen([sys.executable, "-m", "tests.sim"], cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def environment(
    processes: ModuleType, folder: Path, postgres: Postgres, redis: Redis, simulator: str
) -> dict[str, str]:
    """The gateways' settings, over a fresh database and the simulated providers."""
    admin = await asyncpg.connect(postgres.dsn())
    await admin.execute("CREATE DATABASE ledger")
    await admin.close()
    await upgrade("inference_gateway", postgres.url("ledger"))
    (folder / "providers").mkdir()
    for name, (model, given, cached, made) in PRICES.items():
        (folder / "providers" / f"{name}.toml").write_text(
            f'id = "{name}"\ndisplay_name = "{name}"\nbase_url = "{simulator}/{name}/v1"\nfeatures = ["chat"]\n'
            f"max_concurrency = 1024\ncancelled_stream_still_billed = {'false' if name == 'gamma' else 'true'}\n"
            f'[auth]\nenv = ["{name.upper()}_KEY"]\n[[models]]\nid = "{model}"\nname = "sim-chat"\n'
            f'max_output_tokens = 1000\n[[models.prices]]\nsince = 2026-01-01\ninput = "{given}"\n'
            f'cached_input = "{cached}"\noutput = "{made}"\nsource = "the simulator"\n'
        )
    return processes.environment(
        {
            "database_url": postgres.url("ledger"),
            "redis_url": redis.url,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "operator_key": "operators",
            "providers_dir": folder / "providers",
            "shipped_providers": False,
            "bootstrap_key": KEY,
            "journal_dir": folder / "journal",
            "hedge_share": 0.2,
            "first_token_seconds": 2,
            "idle_seconds": 2,
            "answer_seconds": 4,
            "drain_seconds": 4,
            "instance_dead_seconds": 4,
            "heartbeat_seconds": 0.5,
            "admission_seconds": 2,
        }
    ) | {f"{name.upper()}_KEY": f"{name}-secret" for name in PRICES}


def project_budget(settings: dict[str, str]) -> None:
    """A budget that is never reached: what it has counted in the end is held against the ledger."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "inference_gateway",
            "gateway",
            "budgets",
            "set",
            "project",
            "panel",
            "1000000",
            "--window",
            "total",
        ],
        env=dict(os.environ) | settings,
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def hammer(
    run: Run,
    running: dict[str, Any],
    redis: Redis,
    processes: ModuleType,
    settings: dict[str, str],
    folder: Path,
    kills: int,
) -> None:
    """Ask, and kill one part after the other, evenly over the run."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        asking = [asyncio.create_task(run.client(session, seed)) for seed in range(run.clients)]
        everyone = asyncio.gather(*asking)
        turn = ["gateway 1", "worker", "redis", "gateway 2"]
        for number in range(kills):
            share = run.requests * (number + 1) / (kills + 1)
            await wait_until(lambda share=share: run.ended >= share or everyone.done(), seconds=600)
            if everyone.done():
                break
            who = turn[number % len(turn)]
            run.kills[who] += 1
            if who == "redis":
                assert redis.child is not None
                redis.child.process.kill()
                await asyncio.to_thread(redis.child.process.wait)
                await asyncio.to_thread(redis.start)
            else:
                run.urls.pop(who, None)
                await running[who].kill()
                role = "worker" if who == "worker" else "api"
                running[who] = await processes.start(role, settings, folder / "log")
                if role == "api":
                    run.urls[who] = running[who].url
        await everyone


async def hold(truth: ModuleType, postgres: Postgres, redis: Redis, simulator: str, run: Run) -> dict[str, Any]:
    """Hold the ledger against the providers' account, and the budget's counter against the ledger."""
    async with aiohttp.ClientSession() as session, session.get(f"{simulator}/_sim/account") as response:
        found = await response.json()
    lines = {line["attempt_id"]: line for line in found}
    assert len(lines) == len(found), "a provider was called twice for one attempt"
    engine = create_async_engine(postgres.url("ledger"))
    async with engine.connect() as connection:
        figures: dict[str, Any] = await truth.hold(connection, lines, run.whole)
    await engine.dispose()
    pipe = RedisPipe(redis.url)
    [name] = await pipe.call("KEYS", "sj:*:c:*:total")  # type: ignore[misc]
    figures["budget_counts_nano_usd"] = int(await pipe.call("GET", name))  # type: ignore[call-overload]
    await pipe.close()
    return figures


def print_table(run: Run, figures: dict[str, Any], asked_s: float, settled_s: float) -> None:
    """What was seen."""
    table = {
        "requests": run.ended,
        "of these cut off by a killed gateway": run.statuses[0],
        "clients that left in the middle": run.left,
        "statuses": dict(sorted(run.statuses.items())),
        "killed (-9)": dict(run.kills),
        "seconds of asking, and until all was settled": f"{asked_s:.0f}, {settled_s:.0f}",
        "attempts that the providers saw": figures["seen_by_providers"],
        "attempts in the ledger": figures["attempts"],
        "missing": 0,
        "twice": 0,
        "whose end was seen": figures["certain"],
        "  ledger, nano-USD": figures["certain_nano_usd"],
        "  providers' account, nano-USD": figures["certain_providers_nano_usd"],
        "uncertain, at their bound": figures["uncertain"],
        "  of these lost with a killed gateway": figures["of_killed_gateways"],
        "corrections of what was taken for lost": figures["corrections"],
        "hedges": figures["hedges"],
        "whole ledger, nano-USD": figures["ledger_nano_usd"],
        "the budget's counter, nano-USD": figures["budget_counts_nano_usd"],
    }
    for name, value in table.items():
        print(f"{name:46} {value}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=8)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    uvloop.run(main(options.requests, options.clients, options.kills, options.minutes))
