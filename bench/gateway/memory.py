"""Resident memory of the gateway over many requests, whole and streamed by turns: flat, or not; see README.md."""

import argparse

import uvloop
from load import drive
from run import machine
from servers import Server, running

_SLICE_S = 5.0


async def until(server: Server, count: int) -> tuple[int, int]:
    """Load it with ten clients until it has answered that many; how many it answered, and how many failed."""
    done = failed = turn = 0
    while done < count:
        load = await drive(server.port, server.request(stream=turn % 4 == 3), clients=10, seconds=_SLICE_S)
        done, failed, turn = done + len(load.whole), failed + load.failed, turn + 1
        if not load.whole:
            raise SystemExit("the gateway answers nothing")
    return done, failed


def main() -> None:
    """Load it, a tenth at a time, and print what the kernel says after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()
    print(f"{machine()}\n\n| requests | failed | MiB |\n| --- | --- | --- |")
    with running(["upstream", "gateway"]) as servers:
        done = failed = 0
        print(f"| 0 | 0 | {servers['gateway'].resident_mib():.1f} |")
        for _ in range(10):
            more, wrong = uvloop.run(until(servers["gateway"], options.requests // 10))
            done, failed = done + more, failed + wrong
            print(f"| {done:,} | {failed} | {servers['gateway'].resident_mib():.1f} |", flush=True)


if __name__ == "__main__":
    main()
