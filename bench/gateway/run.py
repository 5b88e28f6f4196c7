"""Run the benchmark and print its tables; see README.md."""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil
import uvloop
from load import Load, drive

from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.embedded.redis import Redis
from shipjury_standalone.ports import answers, free_port

KEY = "sk-sj-benchmark"
HERE = Path(__file__).parent
BODY = {"model": "bench", "messages": [{"role": "user", "content": "What is a jury? " * 4}], "max_tokens": 100}


@dataclass
class Server:
    """One server under load."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """CPU seconds so far, user and system."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def resident_mib(self) -> float:
        """Resident memory."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


def request(port: int, stream: bool) -> bytes:
    """The request as bytes."""
    body = orjson.dumps(BODY | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {}))
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def start(name: str, command: list[str], port: int, environment: dict[str, str]) -> Server:
    """Start a server and wait until it listens."""
    process = subprocess.Popen(command, env=dict(os.environ) | environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{name} did not start")
        time.sleep(0.05)
    return Server(name, port, process)


def gateway(folder: Path, upstream: int, postgres: Postgres, redis: Redis) -> Server:
    """Our gateway: API and ledger worker's stream, a money and a request budget on its project."""
    providers = folder / "providers"
    providers.mkdir()
    (providers / "bench.toml").write_text(
        f'id = "bench"\ndisplay_name = "Bench"\nbase_url = "http://127.0.0.1:{upstream}/v1"\nmax_concurrency = 1024\n'
        '[auth]\nscheme = "none"\n[[models]]\nid = "bench"\nmax_output_tokens = 1000\n[[models.prices]]\n'
        'since = 2026-01-01\ninput = "0.15"\noutput = "0.6"\nsource = "bench"\n'
    )
    port = free_port()
    environment = {
        "GATEWAY_DATABASE_URL": postgres.url("bench"),
        "GATEWAY_REDIS_URL": redis.url,
        "GATEWAY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "GATEWAY_OPERATOR_KEY": "operators",
        "GATEWAY_PROVIDERS_DIR": str(providers),
        "GATEWAY_SHIPPED_PROVIDERS": "false",
        "GATEWAY_BOOTSTRAP_KEY": KEY,
        "GATEWAY_PUBLIC_PORT": str(port),
        "GATEWAY_OPERATOR_PORT": str(free_port()),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "inference_gateway"]
    subprocess.run([*command, "migrate"], env=dict(os.environ) | environment, check=True, stdout=subprocess.DEVNULL)
    server = start("gateway", [*command, "api"], port, environment)
    for limit, metric in (("1000000", "usd"), ("1000000000", "requests")):
        subprocess.run(
            [*command, "gateway", "budgets", "set", "project", "panel", limit, "--metric", metric],
            env=dict(os.environ) | environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return server


def interval(values: list[float]) -> float:
    """Half of the 95 % interval of the mean of these rounds (normal)."""
    return 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


async def measure(servers: list[Server], rounds: int, requests: int, clients: int, stream: bool) -> None:
    """Interleaved rounds over all servers; print one table."""
    seen: dict[str, list[tuple[float, Load]]] = {server.name: [] for server in servers}
    for number in range(rounds + 1):
        for server in servers:
            before = server.cpu()
            load = await drive(server.port, request(server.port, stream), clients=clients, requests=requests)
            if load.failed:
                raise SystemExit(f"{server.name}: {load.failed} requests failed")
            if number:  # the first round warms up
                seen[server.name].append(((server.cpu() - before) * 1000 / len(load.whole), load))
    print(f"\n{'stream of 50' if stream else 'whole'}, {clients} clients, {rounds} rounds of {requests}")
    print(f"{'':14}{'CPU ms':>8}{'req/s':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'first ms':>9}{'MiB':>7}")
    for server in servers:
        cpu = statistics.median(cost for cost, _ in seen[server.name])
        whole = sorted(one for _, load in seen[server.name] for one in load.whole)
        first = [one for _, load in seen[server.name] for one in load.first]
        rate = statistics.median(len(load.whole) / load.seconds for _, load in seen[server.name])
        marks = [whole[int(len(whole) * share)] * 1000 for share in (0.5, 0.95, 0.99)]
        print(
            f"{server.name:14}{cpu:8.3f}{rate:9.0f}{marks[0]:9.2f}{marks[1]:9.2f}{marks[2]:9.2f}"
            f"{statistics.median(first) * 1000 if first else float('nan'):9.2f}{server.resident_mib():7.0f}"
        )
    pairs = zip(seen["gateway"], seen["pass-through"], strict=True)
    ratios = [ours / bare for (ours, _), (bare, _) in pairs if bare]
    print(f"CPU, gateway to pass-through: {statistics.median(ratios):.2f} (mean ± {interval(ratios):.2f})")


def main() -> None:
    """Start everything, measure, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=640)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 10, 64])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, redis = Postgres(folder / "postgres", durable=False), Redis(folder / "redis", durable=False)
        postgres.start()
        redis.start()
        servers: list[Server] = []
        try:
            asyncio.run(_database(postgres))
            port = free_port()
            servers.append(start("upstream", [sys.executable, str(HERE / "upstream.py"), str(port)], port, {}))
            upstream = port
            port = free_port()
            environment = {"BENCH_UPSTREAM": f"http://127.0.0.1:{upstream}", "BENCH_REDIS_URL": redis.url}
            command = [sys.executable, str(HERE / "passthrough.py"), str(port)]
            servers.append(start("pass-through", command, port, environment))
            servers.append(gateway(folder, upstream, postgres, redis))
            for stream in (False, True):
                for clients in options.clients:
                    uvloop.run(measure(servers, options.rounds, options.requests, clients, stream))
        finally:
            for server in servers:
                server.process.terminate()
                server.process.wait(20)
            redis.stop()
            postgres.stop()


async def _database(postgres: Postgres) -> None:
    import asyncpg

    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute("CREATE DATABASE bench")
    await connection.close()


if __name__ == "__main__":
    main()
