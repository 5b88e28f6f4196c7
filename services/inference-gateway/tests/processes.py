"""The gateway as processes of its own, started and killed as an operator's machine would."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from shipjury_standalone.ports import free_port
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


async def start(role: str, environment: dict[str, str], log: Path) -> Running:
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
        await wait_until(lambda: _answers(running), seconds=100)
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
