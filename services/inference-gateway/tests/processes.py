"""The gateway as processes of its own, started and killed as an operator's machine would."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from shipjury_standalone import children
from shipjury_standalone.ports import answers, free_port
from shipjury_standalone.testing import wait_until


@dataclass
class Running:
    """One process."""

    process: asyncio.subprocess.Process
    url: str

    async def kill(self) -> None:
        """kill -9."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> None:
        """SIGTERM."""
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(20):
            await self.process.wait()


async def start(role: str, environment: dict[str, str], log: Path, *, seconds: float = 100) -> Running:
    """`python -m inference_gateway ROLE`, ready when this returns."""
    public, operators = free_port(), free_port()
    ports = {"GATEWAY_PUBLIC_PORT": str(public), "GATEWAY_OPERATOR_PORT": str(operators)}
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "inference_gateway",
            role,
            env=dict(os.environ) | environment | ports,
            stdout=out,
            stderr=out,
        )
    running = Running(process, f"http://127.0.0.1:{public}")
    if role == "api":
        await wait_until(lambda: _answers(running), seconds=seconds)
    return running


async def _answers(running: Running) -> bool:
    if running.process.returncode is not None:
        raise AssertionError(f"the gateway ended with {running.process.returncode}")
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{running.url}/v1/models") as response:
            return response.status == 401
    except aiohttp.ClientError:
        return False


def environment(values: dict[str, Any]) -> dict[str, str]:
    """Settings as environment variables."""
    return {f"GATEWAY_{name.upper()}": str(value) for name, value in values.items()}


@dataclass
class Broker:
    """The embedded broker over one data folder, taken away and brought back at the same port."""

    folder: Path
    port: int = field(default_factory=free_port)
    child: children.Child | None = None

    @property
    def address(self) -> str:
        """Its bootstrap servers."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.child = children.start(
            "The broker",
            [sys.executable, "-m", "shipjury_broker", "--data", str(self.folder), "--port", str(self.port)],
            log=children.into_file(self.folder.with_suffix(".log")),
            environment=dict(os.environ),
        )
        self.child.wait_until(lambda: answers(self.port), seconds=60)

    def stop(self) -> None:
        """Take it away."""
        if self.child is not None:
            self.child.stop()
