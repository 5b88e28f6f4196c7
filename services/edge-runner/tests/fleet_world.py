"""A fleet for tests: a real broker, the real gateway (API and worker) in a thread, nodes as processes of their own."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import httpx

from inference_gateway import app as gateway_app
from inference_gateway.settings import Settings
from shipjury_delivery.migrations import upgrade
from shipjury_delivery.process import run_api, run_worker
from shipjury_delivery.topics import ensure_topics
from shipjury_standalone import children
from shipjury_standalone.embedded.postgres import Postgres
from shipjury_standalone.ports import answers, free_port

from . import tiny
from .conftest import RunningNode, start

KEY, OPERATORS, TOKEN = "sk-sj-fleet", "operators", "a-token-of-nodes"
T = TypeVar("T")


@dataclass
class Fleet:
    """The gateway's addresses, the broker's, and the nodes that were started."""

    folder: Path
    kafka: str
    models: Path
    public_port: int
    operator_port: int
    nodes: list[RunningNode] = field(default_factory=list)

    def start(self, name: str, *, model: str = "a", folder: str = "", **settings: str) -> RunningNode:
        """Start a node of that id; it tells the fleet of itself. ``folder``: what it keeps, by default its own."""
        given = tiny.settings(self.folder / "models" / (folder or name), model_list=str(self.models)) | {
            "node_id": name,
            "token": TOKEN,
            "kafka_bootstrap_servers": self.kafka,
            "heartbeat_seconds": "5",
            "memory": tiny.memory_for(2),
        }
        self.nodes.append(start(self.folder / "logs", model, ready=False, **(given | settings)))
        return self.nodes[-1]

    def told(self, node: str) -> dict[str, Any]:
        """What the gateway knows of a node; empty where it has not heard of it."""
        found: list[dict[str, Any]] = self.operate("GET", "/gateway/admin/nodes").json()
        return next((one for one in found if one["node_id"] == node), {})

    def model(self, node: str, model: str) -> dict[str, Any]:
        """What the gateway knows of a model on a node."""
        return next((one for one in self.told(node).get("models", ()) if one["model"] == model), {})

    def is_at(self, node: str, model: str, *states: str) -> bool:
        return self.model(node, model).get("state") in states

    def operate(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {OPERATORS}"}
        url = f"http://127.0.0.1:{self.operator_port}{path}"
        return httpx.request(method, url, json=body, headers=headers, timeout=30)

    def deploy(self, model: str, **body: Any) -> list[dict[str, Any]]:
        answer = self.operate("POST", "/gateway/admin/deployments", {"model": model} | body)
        assert answer.status_code == 202, answer.text
        told: list[dict[str, Any]] = answer.json()
        return told

    def withdraw(self, model: str, node: str) -> None:
        """Take a model from a node, and wait until the node has let it go."""
        assert self.operate("DELETE", f"/gateway/admin/deployments/{node}/{model}").status_code == 202
        self.until(lambda: not self.model(node, model))

    def ask(self, model: str, *, traceparent: str = "", **body: Any) -> httpx.Response:
        """A completion by the gateway, in the trace of its caller where there is one."""
        return httpx.post(
            f"http://127.0.0.1:{self.public_port}/v1/completions",
            json={"model": model, "prompt": "one two", "max_tokens": 4} | body,
            headers={"Authorization": f"Bearer {KEY}"} | ({"traceparent": traceparent} if traceparent else {}),
            timeout=60,
        )

    @contextmanager
    def stream(self, model: str, **body: Any) -> Iterator[Iterator[str]]:
        """A stream by the gateway that goes on for long; its lines."""
        long = {"prompt": "on and on", "max_tokens": 4000, "stream": True, "logit_bias": {"2": -100}}
        with httpx.stream(
            "POST",
            f"http://127.0.0.1:{self.public_port}/v1/completions",
            json=long | {"model": model} | body,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=60,
        ) as answer:
            assert answer.status_code == 200, answer.read()
            yield answer.iter_lines()

    def until(self, check: Callable[[], T], seconds: float = 240) -> T:
        """Poll until ``check`` is true; what it was. A node's or the gateway's silence is no answer yet."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := check():
                    return found
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                logs = "\n".join(f"{node.log.name}: {node.log.read_text()[-1500:]}" for node in self.nodes)
                raise AssertionError(f"not within {seconds} s; nodes: {self._all()}\n{logs}")
            time.sleep(0.05)

    def _all(self) -> str:
        return self.operate("GET", "/gateway/admin/nodes").text

    def end(self) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()


@contextmanager
def fleet(folder: Path, postgres: Postgres, redis_url: str, **entries: str) -> Iterator[Fleet]:
    """A broker and a gateway, and no node yet; ``entries`` are the models of the list."""
    kafka = free_port()
    broker = children.start(
        "The broker",
        [sys.executable, "-m", "shipjury_broker", "--data", str(folder / "kafka"), "--port", str(kafka)],
        log=children.into_file(folder / "kafka.log"),
        environment={},
    )
    world = Fleet(
        folder,
        f"127.0.0.1:{kafka}",
        tiny.model_list(folder / "models", **entries),
        free_port(),
        free_port(),
    )
    try:
        broker.wait_until(lambda: answers(kafka), seconds=60)
        with _gateway(world, postgres, redis_url):
            yield world
    finally:
        world.end()
        broker.stop()


@contextmanager
def _gateway(world: Fleet, postgres: Postgres, redis_url: str) -> Iterator[None]:
    ready, loops = threading.Event(), []

    async def main() -> None:
        admin = await _connect(postgres.dsn())
        await admin.execute("CREATE DATABASE gateway_of_the_fleet")
        await admin.close()
        database = postgres.url("gateway_of_the_fleet")
        await upgrade("inference_gateway", database)
        settings = Settings(
            database_url=database,
            kafka_bootstrap_servers=world.kafka,
            redis_url=redis_url,
            operator_key=OPERATORS,
            bootstrap_key=KEY,
            edge_token=TOKEN,
            edge_networks=(ip_network("127.0.0.0/8"),),
            shipped_providers=False,
            public_port=world.public_port,
            operator_port=world.operator_port,
            worker_port=0,
        )
        await ensure_topics(settings)
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        async with gateway_app.api(settings) as api, gateway_app.worker(settings) as worker:
            ready.set()
            await asyncio.gather(run_api(api, settings, stop), run_worker(worker, stop))

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    try:
        assert ready.wait(120), "the gateway did not start"
        yield
    finally:
        for loop, stop in loops:
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)


async def _connect(dsn: str) -> Any:
    import asyncpg  # type: ignore[import-untyped]

    return await asyncpg.connect(dsn)
