"""Half an hour of mixed load on one node: is anything lost, does memory grow, does anybody starve? See README.md.

Every request has an outcome that it must have; anything else is lost: no answer, a wrong one, a stream that was cut. A
429 that says when to come back is counted and asked again; one that never lets a request in is lost too. Memory, open
files and restarts are sampled all along and shown by windows: flat means that the last window's medians are those of an
early one, and that the engine never takes more than its node has counted for it. All the while a huge prompt is read
now and then: what the first token of short prompts takes meanwhile is held against what it takes without.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import psutil
from client import Timed, stream
from figures import machine
from node import Bench, node

from edge_runner.domain.fit import MIB

_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "city": {"enum": ["Paris", "Rome"]}},
    "required": ["name", "city"],
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {"name": "choose", "parameters": _SCHEMA}}
_SAMPLE_SECONDS = 10
_FLAT_MIB = 10
_WARM_MIB = 10  # what the estimate itself may be wrong by
_MOST_TRIES = 20


class Lost(Exception):
    """An answer that must not be."""


@dataclass
class Window:
    """What happened in a stretch of time."""

    done: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    runner_mib: list[float] = field(default_factory=list)
    engine_mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    again: int = 0
    """Refused with 429 and Retry-After, and asked again."""


@dataclass
class Waits:
    """Seconds to the first token of short prompts."""

    alone: list[float] = field(default_factory=list)
    """While no huge prompt was being read."""
    beside: list[float] = field(default_factory=list)
    """While one was."""
    huge: int = 0
    """Huge prompts that are being read now."""
    huge_seconds: list[float] = field(default_factory=list)


class Client:
    """One caller after the other's fashion; it knows what each answer must be."""

    def __init__(
        self, bench: Bench, session: aiohttp.ClientSession, dice: random.Random, window: Callable[[], Window]
    ) -> None:
        self._base, self._model = f"http://127.0.0.1:{bench.ours.port}/v1", bench.model
        self._session, self._dice, self._window = session, dice, window
        self.kinds: dict[str, tuple[int, Callable[[], Awaitable[str | None]]]] = {
            "chat, streamed": (6, self.streamed),
            "chat, whole": (4, self.whole),
            "log-probabilities": (6, self.scored),
            "tool call": (2, self.tool),
            "JSON schema": (2, self.structured),
            "long prompt": (1, self.long),
            "left in the middle": (2, self.leaves),
            "too long: 413": (1, self.too_long),
            "unknown model: 404": (1, self.unknown),
        }

    async def one(self) -> tuple[str, str | None]:
        """A request of any kind, and what was wrong with its answer."""
        names, weights = list(self.kinds), [weight for weight, _ in self.kinds.values()]
        kind = self._dice.choices(names, weights)[0]
        try:
            return kind, await self.kinds[kind][1]()
        except (aiohttp.ClientError, TimeoutError, Lost, ValueError, KeyError, IndexError) as error:
            return kind, repr(error)

    async def streamed(self) -> str | None:
        """Text, a finish_reason, usage, and the end that the protocol has."""
        asked = self._chat(12) | {"stream": True, "stream_options": {"include_usage": True}}
        async with self._asked("/chat/completions", asked) as answer:
            events = [line[6:].strip() async for line in answer.content if line.startswith(b"data: ")]
        if not events or events[-1] != b"[DONE]":
            return f"status {answer.status}, ended with {events[-1:]!r}"
        chunks = [json.loads(event) for event in events[:-1]]
        finish = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
        return None if any(finish) and chunks[-1]["usage"]["completion_tokens"] else "no finish or usage"

    async def whole(self) -> str | None:
        """A message."""
        answer = await self._answer("/chat/completions", self._chat(12))
        return None if answer["choices"][0]["finish_reason"] in ("stop", "length") else "no finish"

    async def scored(self) -> str | None:
        """A thousand log-probabilities of one token."""
        body = {"prompt": f"{self._text(30)} This is", "max_tokens": 1, "temperature": 0, "logprobs": 1000}
        answer = await self._answer("/completions", body)
        return None if len(answer["choices"][0]["logprobs"]["top_logprobs"][0]) > 900 else "too few"

    async def tool(self) -> str | None:
        """A call that its schema allows, or one that was cut off."""
        asked = self._chat(60) | {"tools": [_TOOL], "tool_choice": "required", "parallel_tool_calls": False}
        choice = (await self._answer("/chat/completions", asked))["choices"][0]
        if choice["finish_reason"] == "length":
            return None
        return None if json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])["city"] else "no city"

    async def structured(self) -> str | None:
        """JSON of the schema, or an answer that was cut off."""
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": _SCHEMA}}
        choice = (await self._answer("/chat/completions", self._chat(50) | {"response_format": form}))["choices"][0]
        if choice["finish_reason"] == "length":
            return None
        return None if json.loads(choice["message"]["content"])["city"] in ("Paris", "Rome") else "not the schema"

    async def long(self) -> str | None:
        """A prompt that takes seconds."""
        answer = await self._answer("/completions", {"prompt": self._text(900), "max_tokens": 4})
        return None if answer["usage"]["prompt_tokens"] > 900 else "prompt cut"

    async def leaves(self) -> str | None:
        """Goes away after the first piece."""
        asked = self._chat(1000) | {"stream": True}
        async with self._asked("/chat/completions", asked) as answer:
            return None if await answer.content.readany() else "nothing came"

    async def too_long(self) -> str | None:
        """More than the context holds."""
        body = {"model": self._model, "prompt": self._text(6000), "max_tokens": 5}
        async with self._session.post(f"{self._base}/completions", json=body) as answer:
            await answer.read()
            return None if answer.status == 413 else f"status {answer.status}"

    async def unknown(self) -> str | None:
        """A model that nobody has."""
        async with self._session.post(f"{self._base}/completions", json={"model": "x", "prompt": "x"}) as answer:
            await answer.read()
            return None if answer.status == 404 else f"status {answer.status}"

    async def _answer(self, path: str, body: dict[str, object]) -> dict[str, object]:
        async with self._asked(path, {"model": self._model} | body) as answer:
            return await answer.json()  # type: ignore[no-any-return]

    @asynccontextmanager
    async def _asked(self, path: str, body: dict[str, object]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, after as many 429 as it takes; each must say when to come back."""
        for _ in range(_MOST_TRIES):
            async with self._session.post(self._base + path, json=body) as answer:
                if answer.status == 200:
                    yield answer
                    return
                if answer.status != 429 or "Retry-After" not in answer.headers:
                    raise Lost(f"status {answer.status}: {await answer.text()}")
                wait = float(answer.headers["Retry-After"])
            self._window().again += 1
            await asyncio.sleep(wait)
        raise Lost(f"429 for {_MOST_TRIES} times")

    def _chat(self, tokens: int) -> dict[str, object]:
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": self._text(self._dice.randrange(3, 40))}],
            "max_tokens": tokens,
            "seed": self._dice.randrange(1000),
        }

    def _text(self, words: int) -> str:
        return " ".join(f"word{self._dice.randrange(999)}" for _ in range(words // 3 + 1))


async def soak(
    bench: Bench, minutes: float, clients: int, pause: float, windows: int, huge_every: float
) -> tuple[list[Window], Waits]:
    """Load for so long; what happened, by windows, and how long short prompts waited."""
    found, waits, began = [Window() for _ in range(windows)], Waits(), time.monotonic()
    ends = began + 60 * minutes

    def window() -> Window:
        return found[min(windows - 1, int((time.monotonic() - began) / (60 * minutes) * windows))]

    async def caller(number: int) -> None:
        dice = random.Random(number)
        connector = aiohttp.TCPConnector(force_close=True)  # a kept one may be closed by a server as it is used again
        patience = aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(timeout=patience, read_bufsize=1 << 22, connector=connector) as session:
            client = Client(bench, session, dice, window)
            while time.monotonic() < ends:
                kind, wrong = await client.one()
                window().done[kind] += 1
                if wrong:
                    window().lost.append(f"{kind}: {wrong[:300]}")
                await asyncio.sleep(dice.expovariate(1 / pause))

    async def short() -> None:
        dice = random.Random(-1)
        while time.monotonic() < ends:
            huge = waits.huge
            answer = await told("short prompt", f"Hello {dice.randrange(999)}, my name is")
            if answer and huge == waits.huge:  # else a huge one began or ended meanwhile: neither alone nor beside it
                (waits.beside if huge else waits.alone).append(answer.first)
            await asyncio.sleep(pause)

    async def huge() -> None:
        dice = random.Random(-2)
        while time.monotonic() < ends:
            await asyncio.sleep(huge_every)
            waits.huge += 1
            try:
                text = " ".join(f"fact{dice.randrange(999)}" for _ in range(480))
                if answer := await told("huge prompt", text):
                    waits.huge_seconds.append(answer.first)
            finally:
                waits.huge -= 1

    async def told(kind: str, prompt: str) -> Timed | None:
        body: dict[str, object] = {"model": bench.model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
        window().done[kind] += 1
        try:
            answer = await stream(bench.ours, "/v1/completions", body)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            window().lost.append(f"{kind}: {error!r}")
            return None
        if answer.status != 200 or answer.finish is None or not answer.came:
            window().lost.append(f"{kind}: {answer}")
            return None
        return answer

    async def sampler() -> None:
        runner, engine = psutil.Process(bench.process.pid), bench.engine
        while time.monotonic() < ends:
            window().runner_mib.append(runner.memory_info().rss / 2**20)
            window().engine_mib.append(engine.memory_info().rss / 2**20)
            window().files.append(runner.num_fds() + engine.num_fds())
            await asyncio.sleep(_SAMPLE_SECONDS)

    await asyncio.gather(sampler(), short(), huge(), *(caller(number) for number in range(clients)))
    return found, waits


def report(found: list[Window], restarts: object, counted: float) -> bool:
    """Print the table; whether nothing was lost, and memory stayed flat and below ``counted`` MiB."""
    print("| window | requests | lost | 429, asked again | runner, MiB | engine, MiB | most | open files |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for number, one in enumerate(found, 1):
        runner, engine, files = (statistics.median(taken) for taken in (one.runner_mib, one.engine_mib, one.files))
        print(
            f"| {number} | {one.done.total()} | {len(one.lost)} | {one.again} | {runner:.1f} | {engine:.1f} "
            f"| {max(one.engine_mib):.1f} | {files:.0f} |"
        )
    total = sum((one.done for one in found), Counter())
    lost = [text for one in found for text in one.lost]
    early = found[min(1, len(found) - 1)]  # the first one warms up
    grown = {
        "runner": statistics.median(found[-1].runner_mib) - statistics.median(early.runner_mib),
        "engine": statistics.median(found[-1].engine_mib) - statistics.median(early.engine_mib),
    }
    print("requests: " + ", ".join(f"{count} {kind}" for kind, count in total.most_common()))
    print(f"lost: {len(lost)} of {total.total()}; restarts: {restarts}")
    print("grown since the second window, MiB: " + ", ".join(f"{name} {by:+.1f}" for name, by in grown.items()))
    most = max(max(one.engine_mib) for one in found)
    print(f"engine: at most {most:.1f} MiB, counted by the node: {counted:.1f}")
    for text in lost[:20]:
        print(f"  {text}")
    flat = all(by < _FLAT_MIB for by in grown.values()) and most <= counted + _WARM_MIB
    return not lost and restarts == 0 and flat


def starving(waits: Waits) -> None:
    """Print what short prompts waited."""
    print("\n| first token of a short prompt | count | p50, s | p95, s | most, s |\n| --- | --- | --- | --- | --- |")
    for name, seconds in (("no huge prompt", waits.alone), ("while one is read", waits.beside)):
        print(f"| {name} | {_spread(seconds)} |")
    print(f"| (the huge ones' own) | {_spread(waits.huge_seconds)} |")


def _spread(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return f"{len(seconds)} | - | - | -"
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return f"{len(seconds)} | {statistics.median(seconds):.3f} | {cuts[18]:.3f} | {max(seconds):.3f}"


def main() -> None:
    """Soak and say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between a client's requests, on average")
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--huge-every", type=float, default=15.0, help="seconds between huge prompts")
    options = parser.parse_args()
    print(machine())
    with node(slots=4, threads=1, queue=32) as bench:
        load = (options.minutes, options.clients, options.pause, options.windows, options.huge_every)
        found, waits = asyncio.run(soak(bench, *load))
        held = bench.held()
        well = report(found, held["restarts"], held["estimated_bytes"] / MIB)
        starving(waits)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
