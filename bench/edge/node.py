"""A node under measurement, and the bare engine behind it: the same process, asked past the runner."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil

from shipjury_standalone.ports import free_port

MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True)
class Door:
    """Where the same model is asked: ``name`` in tables, port, and the key that its callers carry."""

    name: str
    port: int
    key: str


@dataclass(frozen=True)
class Bench:
    """A running node. ``bare`` leads to its engine, ``ours`` through the runner."""

    process: subprocess.Popen[bytes]
    ours: Door
    bare: Door
    operator_port: int
    model: str
    log: Path

    @property
    def engine(self) -> psutil.Process:
        """The engine's process."""
        return psutil.Process(self.process.pid).children()[0]

    def held(self) -> dict[str, object]:
        """What the node says of its model."""
        connection = HTTPConnection("127.0.0.1", self.operator_port, timeout=10)
        connection.request("GET", "/edge/readyz")
        found: dict[str, object] = json.loads(connection.getresponse().read())["models"][self.model]
        return found


@contextlib.contextmanager
def node(model: str = MODEL, **settings: object) -> Iterator[Bench]:
    """A node with these ``EDGE_`` settings in lower case; ends with the block, in order."""
    with tempfile.TemporaryDirectory() as folder:
        port, operators, log = free_port(), free_port(), Path(folder) / "node.log"
        given = {"public_port": port, "operator_port": operators, "node_id": "bench"} | settings
        own = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "edge_runner", "serve", model],
                env=own | {f"EDGE_{name.upper()}": str(value) for name, value in given.items()},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            _until_ready(process, operators, log)
            port_of_engine, key = _engine(process.pid)
            yield Bench(process, Door("runner", port, "-"), Door("engine", port_of_engine, key), operators, model, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)


def _until_ready(process: "subprocess.Popen[bytes]", operators: int, log: Path) -> None:
    until = time.monotonic() + 900
    while process.poll() is None and time.monotonic() < until:
        connection = HTTPConnection("127.0.0.1", operators, timeout=5)
        with contextlib.suppress(OSError):
            connection.request("GET", "/edge/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"the node did not become ready:\n{log.read_text()[-2000:]}")


def _engine(runner: int) -> tuple[int, str]:
    """Port and key of the engine that this runner started."""
    child = psutil.Process(runner).children()[0]
    arguments = child.cmdline()
    return int(arguments[arguments.index("--port") + 1]), child.environ()["ENGINE_KEY"]
