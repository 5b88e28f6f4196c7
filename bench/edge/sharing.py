"""What five requests that share a dossier cost, and how long a short prompt waits behind a huge one; see README.md."""

import argparse
import asyncio
import statistics

from client import Timed, stream
from figures import machine
from node import Bench, node


def words(count: int, seed: int) -> str:
    """Text of about 3.6 tokens a word."""
    return " ".join(f"fact{(seed + place) * 7919 % 997}" for place in range(count))


async def ask(bench: Bench, prompt: str) -> Timed:
    """One answer of a token, streamed."""
    body: dict[str, object] = {"model": bench.model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
    return await stream(bench.ours, "/v1/completions", body)


async def share(bench: Bench, seed: int) -> tuple[int, float, float]:
    """Tokens of a dossier, seconds to read it once, seconds until five who ask at once have all been answered."""
    dossier = words(400, seed)
    one = await ask(bench, f"{dossier} Question:")
    other = words(400, seed + 500)
    five = await asyncio.gather(*(ask(bench, f"{other} Question {number}:") for number in range(5)))
    assert one.usage is not None
    return one.usage["prompt_tokens"], one.first, max(answer.first for answer in five)


async def starve(bench: Bench, seed: int) -> tuple[float, float, float]:
    """Seconds to a short prompt's first token alone and while a huge one is read, and the huge one's own."""
    alone = await ask(bench, f"Hello {seed}, my name is")
    huge = asyncio.create_task(ask(bench, "begin " + words(400, seed)))
    await asyncio.sleep(0.2)
    beside = await ask(bench, f"Goodbye {seed}, my name was")
    return alone.first, beside.first, (await huge).first


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    with node(slots=5, context_tokens=2048) as bench:
        shared = [asyncio.run(share(bench, number * 1000)) for number in range(options.rounds)]
        waited = [asyncio.run(starve(bench, 77 + number * 1000)) for number in range(options.rounds)]
    ratio = statistics.median(five / one for _, one, five in shared)
    print("| tokens shared | one reads it, s | five at once, s | ratio |\n| --- | --- | --- | --- |")
    once, five = (statistics.median(column) for column in list(zip(*shared, strict=True))[1:])
    print(f"| {shared[0][0]} | {once:.2f} | {five:.2f} | {ratio:.2f} |\n")
    print("| first token of a short prompt | s |\n| --- | --- |")
    alone, beside, huge = (statistics.median(column) for column in zip(*waited, strict=True))
    print(
        f"| alone | {alone:.2f} |\n| while a huge one is read | {beside:.2f} |\n| (the huge one's own) | {huge:.2f} |"
    )


if __name__ == "__main__":
    main()
