"""`python -m shipjury_broker --data DIR --port P`: runs one broker until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

# kio imports Hypothesis wherever it is installed, which takes longer than all else that the broker does to start.
sys.modules.setdefault("hypothesis", None)  # type: ignore[arg-type]

from shipjury_broker.errors import BrokerError  # noqa: E402
from shipjury_broker.server import Broker  # noqa: E402


async def _run(data: Path, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(data, host, port)
    await broker.start()
    print(f"ready: {broker.address}", flush=True)  # noqa: T201 - the line that the starter waits for
    await stop.wait()
    await broker.stop()


def main() -> int:
    parser = argparse.ArgumentParser("shipjury_broker", description="A small one-node log that speaks Kafka.")
    parser.add_argument("--data", type=Path, required=True, help="the folder that keeps everything")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="loopback only")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_run(args.data, args.host, args.port))
    except BrokerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
