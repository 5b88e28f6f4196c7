"""Run the benchmark and print its tables; see README.md."""

import argparse
import contextlib
import fcntl
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop
from load import Load, drive
from servers import NAMES, Server, running

OURS = "gateway"
SHAPES = ("whole:1", "whole:10", "whole:64", "stream:1", "stream:10")


@dataclass
class Rounds:
    """What a server did in one shape: CPU milliseconds a request, its own and beside it, and what clients saw."""

    cpu: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    def mark(self, share: float, which: str = "whole") -> float:
        """A quantile over all rounds, in milliseconds; NaN where there is nothing."""
        values = sorted(one for load in self.loads for one in getattr(load, which))
        return values[int(len(values) * share)] * 1000 if values else float("nan")


def ratio(theirs: list[float], ours: list[float]) -> tuple[float, float, float]:
    """Median of the ratios pair by pair, and the 95 % interval of their mean (normal)."""
    pairs = [a / b for a, b in zip(theirs, ours, strict=True)]
    middle = statistics.median(pairs)
    if len(pairs) < 2:
        return middle, 0.0, float("inf")
    half = 1.96 * statistics.stdev(pairs) / len(pairs) ** 0.5
    mean = statistics.fmean(pairs)
    return middle, mean - half, mean + half


def settled(seen: dict[str, Rounds]) -> bool:
    """Whether every ratio's interval is within 10 % of it."""
    for name, rounds in seen.items():
        if name not in (OURS, "upstream") and OURS in seen:
            middle, low, high = ratio(rounds.cpu, seen[OURS].cpu)
            if high - low > 0.2 * middle:
                return False
    return True


async def measure(servers: dict[str, Server], shape: str, options: argparse.Namespace) -> dict[str, Rounds]:
    """Interleaved rounds over all servers: at least ``--rounds``, more until the ratios are settled."""
    kind, _, clients = shape.partition(":")
    with held(options.lock):
        warm = {name: Rounds() for name in servers}
        await _round(servers, kind, int(clients), options, warm)
        able = {name: server for name, server in servers.items() if not warm[name].loads[0].failed}
        for name in servers.keys() - able.keys():
            print(f"\n{name} fails {shape}: left out")
        seen = {name: Rounds() for name in able}
        for number in range(options.most_rounds):
            await _round(able, kind, int(clients), options, seen)
            if number + 1 >= options.rounds and settled(seen):
                break
    for name, rounds in seen.items():
        if failed := sum(load.failed for load in rounds.loads):
            raise SystemExit(f"{name}: {failed} requests failed")
    return seen


async def _round(
    servers: dict[str, Server], kind: str, clients: int, options: argparse.Namespace, seen: dict[str, Rounds]
) -> None:
    for name, server in servers.items():
        before, beside = server.cpu(), server.cpu_beside()
        load = await drive(
            server.port, server.request(stream=kind == "stream"), clients=clients, seconds=options.seconds
        )
        count = max(1, len(load.whole))
        seen[name].cpu.append((server.cpu() - before) * 1000 / count)
        seen[name].beside.append((server.cpu_beside() - beside) * 1000 / count)
        seen[name].loads.append(load)


@contextlib.contextmanager
def held(path: Path | None) -> Iterator[None]:
    """Hold a lock file during a shape, where other work shares the machine and honours it."""
    if path is None:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def table(shape: str, servers: dict[str, Server], seen: dict[str, Rounds]) -> list[str]:
    """A shape's rows as Markdown. Added latency: over the upstream's own in the same rounds."""
    rounds = len(seen["upstream"].cpu)
    lines = [
        f"\n### {shape}, {rounds} rounds",
        "| Server | CPU ms | requests/s | p50 + ms | p95 + ms | p99 + ms | first token + ms | MiB "
        "| CPU to ours (95 %) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    bare = seen["upstream"]
    for name, of in seen.items():
        base = Rounds() if name == "upstream" else bare
        marks = [of.mark(share) - (base.mark(share) if base.loads else 0.0) for share in (0.5, 0.95, 0.99)]
        first = of.mark(0.5, "first") - (base.mark(0.5, "first") if base.loads else 0.0)
        against = ""
        if OURS in seen and name not in (OURS, "upstream"):
            middle, low, high = ratio(of.cpu, seen[OURS].cpu)
            against = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rate = statistics.median(load.rate for load in of.loads)
        cells = [
            f"{name} {servers[name].version}".strip(),
            f"{statistics.median(of.cpu):.3f}",
            f"{rate:,.0f}",
            *(f"{mark:.2f}" for mark in marks),
            "" if first != first else f"{first:.2f}",
            f"{servers[name].resident_mib():.0f}",
            against,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if OURS in seen and servers[OURS].beside is not None:
        lines.append(
            f"\nThe ledger's worker beside the gateway: {statistics.median(seen[OURS].beside):.3f} CPU ms a request."
        )
    return lines


def machine() -> str:
    """What this ran on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?: ?")
    count = subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{time.strftime('%Y-%m-%d')}, {count} x {cpu.partition(': ')[2]}, Python {platform.python_version()}"


def main() -> None:
    """Start everything, measure, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="whole or stream, a colon, clients")
    parser.add_argument("--rounds", type=int, default=10, help="least rounds")
    parser.add_argument("--most-rounds", type=int, default=40, help="most rounds, where ratios do not settle")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long a server is under load in a round")
    parser.add_argument("--lock", type=Path, help="lock file to hold during each shape")
    parser.add_argument("--json", type=Path, help="file for all rounds' CPU figures")
    options = parser.parse_args()
    names = [name for name in NAMES if name in {"upstream", *options.servers}]
    print(machine())
    raw: dict[str, object] = {}
    with running(names) as servers:
        for shape in options.shapes:
            seen = uvloop.run(measure(servers, shape, options))
            print("\n".join(table(shape, servers, seen)), flush=True)
            raw[shape] = {name: of.cpu for name, of in seen.items()}
    if options.json:
        options.json.write_bytes(orjson.dumps(raw, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
