"""A worker that stops between the last review and the verdict, to be killed there."""

import asyncio
import sys
from datetime import timedelta

from pydantic import SecretStr

from panel.app import bench
from panel.settings import Settings
from panel.store.tools import JUDGE
from shipjury_delivery import JobHandler
from shipjury_delivery.job_runner import JobRunner


async def main(url: str, gateway_url: str, key: str) -> None:
    """Judge until all reviews are kept, say so, and wait for the end."""
    settings = Settings(
        database_url=SecretStr(url),
        kafka_bootstrap_servers="127.0.0.1:9",
        operator_key=SecretStr("operators"),
        gateway_url=gateway_url,
        gateway_key=SecretStr(key),
    )
    async with bench(settings) as parts:

        async def stop_here(*_: object) -> None:
            sys.stdout.write("reviewed\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

        parts.judge_tool._issue = stop_here  # type: ignore[method-assign, assignment]
        handler = JobHandler(JUDGE, parts.judge_tool, lease=timedelta(seconds=2))
        await JobRunner("panel", parts.engine, handler, asyncio.Event(), poll_seconds=0.05).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
