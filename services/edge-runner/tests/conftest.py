"""Nodes for the tests: the real engine with the real embedded weights, in a process of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

MODEL = "smollm2-135m-instruct"
READY_SECONDS = 200.0


@dataclass
class RunningNode:
    """A node that was started with the command that operators use."""

    process: "subprocess.Popen[bytes]"
    port: int
    operator_port: int
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def readyz(self) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.operator_port}/edge/readyz")

    def model(self) -> dict[str, Any]:
        found: dict[str, Any] = self.readyz().json()["models"][MODEL]
        return found

    def metric(self, line: str) -> float:
        """The value of the sample that starts with ``line``; 0 where there is none yet."""
        page = httpx.get(f"http://127.0.0.1:{self.operator_port}/edge/metrics").text
        return float(next((row.rsplit(" ", 1)[1] for row in page.splitlines() if row.startswith(line)), 0))

    def spans(self) -> list[dict[str, Any]]:
        """The spans that it has written so far; they come within a second."""
        traces = self.log.with_suffix(".traces")
        return [json.loads(line) for line in traces.read_text().splitlines()] if traces.exists() else []

    def post(self, path: str, **body: Any) -> httpx.Response:
        return httpx.post(self.base_url + path, json={"model": MODEL} | body, headers=self.headers, timeout=240)

    def engines(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.process.pid).children() if child.is_running()]

    def wait_ready(self, seconds: float) -> None:
        wait_for(lambda: self._is_ready(), seconds, self)

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.readyz().status_code == 200
        return False

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


StartNode = Callable[..., RunningNode]


def wait_for(check: Callable[[], object], seconds: float, node: RunningNode | None = None) -> None:
    """Poll until ``check`` is true; a node that ended meanwhile, or the time that is up, fails with its log."""
    deadline = time.monotonic() + seconds
    while not check():
        ended = node is not None and node.process.poll() is not None
        if ended or time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s:\n{node.log.read_text()[-3000:] if node else ''}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    folder: Path, *arguments: str, ready: bool = True, patience: float = READY_SECONDS, **settings: str
) -> RunningNode:
    """Start a node with ``EDGE_`` settings in lower case, such as ``slots="2"``."""
    port, operator_port = free_port(), free_port()
    folder.mkdir(exist_ok=True)
    log = folder / f"node-{port}.log"
    own = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
    given = {"public_port": str(port), "operator_port": str(operator_port), "node_id": "node-1"} | settings
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_runner", "serve", *arguments],
            env=own
            | {"SHIPJURY_TRACES_FILE": str(log.with_suffix(".traces"))}
            | {f"EDGE_{name.upper()}": value for name, value in given.items()},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    headers = {"Authorization": f"Bearer {settings['token']}"} if "token" in settings else {}
    node = RunningNode(process, port, operator_port, log, headers)
    if ready:
        node.wait_ready(patience)
    return node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """One node for all tests that leave it as they found it. Its calls need a token."""
    running = start(tmp_path_factory.mktemp("node"), token="a-token", slots="2", queue="2")
    yield running
    running.stop()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes of a test's own; they are gone after it, whatever the test did."""
    started: list[RunningNode] = []

    def begin(*arguments: str, **settings: Any) -> RunningNode:
        started.append(start(tmp_path / "nodes", *arguments, **settings))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
