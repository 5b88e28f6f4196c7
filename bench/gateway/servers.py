"""Everything that the benchmark starts, each as processes of its own, and what the kernel says that they used."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import peers
import psutil

from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.embedded.redis import Redis
from shipjury_standalone.ports import answers, free_port

KEY = "sk-sj-benchmark"
HERE = Path(__file__).parent
NAMES = ("upstream", "pass-through", "two scripts", "gateway", "LiteLLM", "Portkey", "Portkey, older")
BODY = {"model": "bench", "messages": [{"role": "user", "content": "What is a jury? " * 4}], "max_tokens": 100}


@dataclass
class Server:
    """One server under load. ``beside`` works for it outside of the request path (the ledger's worker)."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    beside: subprocess.Popen[bytes] | None = None

    def cpu(self) -> float:
        """CPU seconds so far, user and system, of the server's processes."""
        return _cpu(self.process)

    def cpu_beside(self) -> float:
        """CPU seconds so far of what works beside it."""
        return 0.0 if self.beside is None else _cpu(self.beside)

    def resident_mib(self) -> float:
        """Resident memory of the largest process."""
        return max(one.memory_info().rss for one in _family(self.process)) / 2**20

    def request(self, *, stream: bool, **more: object) -> bytes:
        """A request to it, as bytes."""
        streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        body = orjson.dumps(BODY | streaming | more)
        headers = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        } | self.headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + body

    def stop(self) -> None:
        """SIGTERM, and wait."""
        for process in (self.process, self.beside):
            if process is not None:
                process.terminate()
        for process in (self.process, self.beside):
            if process is not None:
                process.wait(30)


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def _cpu(process: subprocess.Popen[bytes]) -> float:
    times = [one.cpu_times() for one in _family(process)]
    return sum(one.user + one.system for one in times)


def start(name: str, command: list[str], port: int, environment: dict[str, str], **more: object) -> Server:
    """Start a server and wait until it listens."""
    hidden = subprocess.DEVNULL
    process = subprocess.Popen(command, env=dict(os.environ) | environment, stdout=hidden, stderr=hidden)
    until = time.monotonic() + 600
    while not answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{name} did not start")
        time.sleep(0.05)
    return Server(name, port, process, **more)  # type: ignore[arg-type]


@contextmanager
def running(names: list[str], *, upstream: str = "upstream.py") -> Iterator[dict[str, Server]]:
    """The upstream and the named servers, ready; stopped at the end."""
    servers: dict[str, Server] = {}
    with TemporaryDirectory() as made:
        folder = Path(made)
        postgres, redis = Postgres(folder / "postgres", durable=False), Redis(folder / "redis", durable=False)
        postgres.start()
        redis.start()
        try:
            port = free_port()
            servers["upstream"] = start("upstream", [sys.executable, str(HERE / upstream), str(port)], port, {})
            for name in names:
                if name != "upstream":
                    servers[name] = _start(name, folder, port, postgres, redis)
            yield servers
        finally:
            for server in servers.values():
                server.stop()
            redis.stop()
            postgres.stop()


def _start(name: str, folder: Path, upstream: int, postgres: Postgres, redis: Redis) -> Server:
    port = free_port()
    if name == "gateway":
        return gateway(folder, port, upstream, postgres, redis)
    if name in ("pass-through", "two scripts"):
        environment = {"BENCH_UPSTREAM": f"http://127.0.0.1:{upstream}", "BENCH_REDIS_URL": redis.url}
        more = ["--scripts"] if name == "two scripts" else []
        return start(name, [sys.executable, str(HERE / "passthrough.py"), str(port), *more], port, environment)
    if name == "LiteLLM":
        peer = peers.litellm(port, upstream, KEY, folder)
    else:
        peer = peers.portkey(port, upstream, older=name != "Portkey")
    return start(name, peer.command, port, peer.environment, version=peer.version, headers=peer.headers)


def gateway(folder: Path, port: int, upstream: int, postgres: Postgres, redis: Redis) -> Server:
    """Our gateway: its API, with a money and a request budget on its project, and the worker that fills the ledger."""
    providers = folder / "providers"
    providers.mkdir()
    (providers / "bench.toml").write_text(
        f'id = "bench"\ndisplay_name = "Bench"\nbase_url = "http://127.0.0.1:{upstream}/v1"\nmax_concurrency = 1024\n'
        '[auth]\nscheme = "none"\n[[models]]\nid = "bench"\nmax_output_tokens = 1000\n[[models.prices]]\n'
        'since = 2026-01-01\ninput = "0.15"\noutput = "0.6"\nsource = "bench"\n'
    )
    asyncio.run(_database(postgres))
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
        "GATEWAY_WORKER_PORT": "0",
        "SHIPJURY_LOG_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "inference_gateway"]
    whole = dict(os.environ) | environment
    subprocess.run([*command, "migrate"], env=whole, check=True, stdout=subprocess.DEVNULL)
    server = start("gateway", [*command, "api"], port, environment)
    for limit, metric in (("1000000", "usd"), ("1000000000", "requests")):
        set_budget = [*command, "gateway", "budgets", "set", "project", "panel", limit, "--metric", metric]
        subprocess.run(set_budget, env=whole, check=True, stdout=subprocess.DEVNULL)
    quiet = subprocess.DEVNULL  # it says that there is no broker here
    server.beside = subprocess.Popen([*command, "worker"], env=whole, stdout=quiet, stderr=quiet)
    return server


async def _database(postgres: Postgres) -> None:
    import asyncpg

    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute("CREATE DATABASE bench")
    await connection.close()
