"""What the runner costs: decode rate and time to first token, through it and past it; see README.md."""

import argparse
import asyncio
import statistics
from dataclasses import dataclass
from pathlib import Path

from bandwidth import triad
from client import Timed, stream
from figures import half_width, interval_of_median, machine
from node import Bench, Door, node

from edge_runner.gguf import read_header

_STREAMS = (1, 4, 8)
_WANTED = 0.03


@dataclass(frozen=True)
class Pair:
    """One round: the same load past the runner and through it. Rates in tokens a second, times in ms."""

    bare_rate: float
    our_rate: float
    bare_first: float
    our_first: float

    @property
    def ratio(self) -> float:
        """Our decode rate over the engine's."""
        return self.our_rate / self.bare_rate

    @property
    def added(self) -> float:
        """Milliseconds added to the first token."""
        return self.our_first - self.bare_first


@dataclass(frozen=True)
class Shape:
    """What each stream asks for: words of its prompt, tokens of its answer; whether in each round the same, so that the
    engine has all of the prompt in its cache."""

    words: int
    tokens: int
    cached: bool


async def round_of(door: Door, model: str, streams: int, shape: Shape, seed: int) -> tuple[float, float]:
    """``streams`` at once: tokens a second of all together, median milliseconds to the first token.

    A stream's rate is that of its tokens after the first, over the time from its first to its last. (Tokens counted in
    the time in which all streams are decoding are fewer or more by one a stream, as their moments fall: noise of 5 %.)
    """
    answers = await asyncio.gather(*(one(door, model, shape, seed * 64 + number) for number in range(streams)))
    for answer in answers:
        if answer.finish != "length" or answer.status != 200:
            raise SystemExit(f"{door.name}: an answer ended with {answer.finish!r}, status {answer.status}")
    return sum(answer.rate for answer in answers), 1000 * statistics.median(answer.first for answer in answers)


async def one(door: Door, model: str, shape: Shape, seed: int) -> Timed:
    """One stream with a prompt of its own, so that no prefix is reused; it cannot end early."""
    prompt = f"{seed} " + " ".join(f"w{(seed * 7919 + place) % 997}" for place in range(shape.words))
    body: dict[str, object] = {"model": model, "prompt": prompt, "max_tokens": shape.tokens, "temperature": 0}
    return await stream(door, "/v1/completions", body | {"logit_bias": {"0": -100, "2": -100}})


async def pairs(bench: Bench, streams: int, shape: Shape, least: int, most: int, seconds: float) -> list[Pair]:
    """Interleaved pairs, the order changing: at least ``least``, then more until the interval is narrow enough."""
    found: list[Pair] = []
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    for number in range(-1, most):
        doors = [bench.bare, bench.ours][:: 1 if number % 2 else -1]
        seen = {}
        for door in doors:
            # Each door has prompts of its own, unless they are to be found in the engine's cache.
            seed = 0 if shape.cached else number * 2 + 4 + (door is bench.ours)
            seen[door.name] = await round_of(door, bench.model, streams, shape, seed)
        if number >= 0:  # the first pair warms up
            (bare_rate, bare_first), (our_rate, our_first) = seen["engine"], seen["runner"]
            found.append(Pair(bare_rate, our_rate, bare_first, our_first))
        narrow = half_width([pair.ratio for pair in found]) <= _WANTED
        if (len(found) >= least and narrow) or loop.time() > until:
            break
    return found


def row(streams: int, found: list[Pair]) -> str:
    """A line of the table."""
    ratios, added = [pair.ratio for pair in found], [pair.added for pair in found]
    low, high = interval_of_median(ratios)
    first_low, first_high = interval_of_median(added)
    return (
        f"| {streams} | {len(found)} | {statistics.median(pair.bare_rate for pair in found):.1f} "
        f"| {statistics.median(pair.our_rate for pair in found):.1f} "
        f"| {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}) "
        f"| {statistics.median(pair.bare_first for pair in found):.1f} "
        f"| {statistics.median(pair.our_first for pair in found):.1f} "
        f"| {statistics.median(added):+.1f} ({first_low:+.1f} to {first_high:+.1f}) |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="pairs at least")
    parser.add_argument("--most", type=int, default=60, help="pairs at most")
    parser.add_argument("--seconds", type=float, default=120, help="seconds at most for one number of streams")
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--words", type=int, default=24, help="of each prompt; 1 shows best what the first token costs")
    parser.add_argument(
        "--cached", action="store_true", help="ask the same in each round, which costs the engine little"
    )
    parser.add_argument("--streams", type=int, nargs="+", default=_STREAMS)
    parser.add_argument("--threads", type=int, help="the engine's; by default what a node takes")
    options = parser.parse_args()
    shape = Shape(options.words, options.tokens, options.cached)
    settings = {"threads": options.threads} if options.threads else {}
    print(machine())
    with node(slots=max(options.streams), context_tokens=512, **settings) as bench:
        print(
            "| streams | pairs | engine, tokens/s | runner | ratio (95 %) | first token, ms | runner | added (95 %) |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for streams in options.streams:
            found = asyncio.run(pairs(bench, streams, shape, options.rounds, options.most, options.seconds))
            print(row(streams, found), flush=True)
        weights, threads = weights_of(bench), int(argument(bench, "--threads"))
        bandwidth = triad(threads)
        print(
            f"{threads} threads; memory bandwidth (triad): {bandwidth / 1e9:.1f} GB/s; weights read a token: "
            f"{weights / 1e6:.1f} MB; bound of one stream: {bandwidth / weights:.0f} tokens/s"
        )


def weights_of(bench: Bench) -> int:
    """Bytes of weights that one token reads: all but the embedding's other rows, unless it is the output too."""
    header = read_header(Path(argument(bench, "--model")))
    tied = not any(tensor.name == "output.weight" for tensor in header.tensors)
    return sum(tensor.size for tensor in header.tensors if tied or tensor.name != "token_embd.weight")


def argument(bench: Bench, flag: str) -> str:
    """What the engine was started with."""
    arguments = bench.engine.cmdline()
    return arguments[arguments.index(flag) + 1]


if __name__ == "__main__":
    main()
