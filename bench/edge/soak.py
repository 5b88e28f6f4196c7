"""Half an hour of mixed load on one node: is anything lost, does memory grow? See README.md.

Every request has an outcome that it must have; anything else is lost. Memory, open files and restarts are sampled all
along and shown by windows: flat means that the last window's medians are those of an early one.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import psutil
from figures import machine
from node import Bench, node

_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "city": {"enum": ["Paris", "Rome"]}},
    "required": ["name", "city"],
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {"name": "choose", "parameters": _SCHEMA}}
_SAMPLE_SECONDS = 10
_FLAT_MIB = 10


@dataclass
class Window:
    """What happened in a stretch of time."""

    done: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    runner_mib: list[float] = field(default_factory=list)
    engine_mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)


class Client:
    """One caller after the other's fashion; it knows what each answer must be."""

    def __init__(self, bench: Bench, session: aiohttp.ClientSession, dice: random.Random) -> None:
        self._base, self._model = f"http://127.0.0.1:{bench.ours.port}/v1", bench.model
        self._session, self._dice = session, dice
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
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, IndexError) as error:
            return kind, repr(error)

    async def streamed(self) -> str | None:
        """Text, a finish_reason, usage, and the end that the protocol has."""
        asked = self._chat(12) | {"stream": True, "stream_options": {"include_usage": True}}
        async with self._session.post(f"{self._base}/chat/completions", json=asked) as answer:
            events = [line[6:].strip() async for line in answer.content if line.startswith(b"data: ")]
        if answer.status != 200 or events[-1] != b"[DONE]":
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
        async with self._session.post(f"{self._base}/chat/completions", json=asked) as answer:
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
        async with self._session.post(self._base + path, json={"model": self._model} | body) as answer:
            if answer.status != 200:
                raise ValueError(f"status {answer.status}: {await answer.text()}")
            return await answer.json()  # type: ignore[no-any-return]

    def _chat(self, tokens: int) -> dict[str, object]:
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": self._text(self._dice.randrange(3, 40))}],
            "max_tokens": tokens,
            "seed": self._dice.randrange(1000),
        }

    def _text(self, words: int) -> str:
        return " ".join(f"word{self._dice.randrange(999)}" for _ in range(words // 3 + 1))


async def soak(bench: Bench, minutes: float, clients: int, pause: float, windows: int) -> list[Window]:
    """Load for so long; what happened, by windows."""
    found, began = [Window() for _ in range(windows)], time.monotonic()
    ends = began + 60 * minutes

    def window() -> Window:
        return found[min(windows - 1, int((time.monotonic() - began) / (60 * minutes) * windows))]

    async def caller(number: int) -> None:
        dice = random.Random(number)
        connector = aiohttp.TCPConnector(force_close=True)  # a kept one may be closed by a server as it is used again
        patience = aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(timeout=patience, read_bufsize=1 << 22, connector=connector) as session:
            client = Client(bench, session, dice)
            while time.monotonic() < ends:
                kind, wrong = await client.one()
                window().done[kind] += 1
                if wrong:
                    window().lost.append(f"{kind}: {wrong[:300]}")
                await asyncio.sleep(dice.expovariate(1 / pause))

    async def sampler() -> None:
        runner, engine = psutil.Process(bench.process.pid), bench.engine
        while time.monotonic() < ends:
            window().runner_mib.append(runner.memory_info().rss / 2**20)
            window().engine_mib.append(engine.memory_info().rss / 2**20)
            window().files.append(runner.num_fds() + engine.num_fds())
            await asyncio.sleep(_SAMPLE_SECONDS)

    await asyncio.gather(sampler(), *(caller(number) for number in range(clients)))
    return found


def report(found: list[Window], restarts: object) -> bool:
    """Print the table; whether nothing was lost and memory stayed flat."""
    print(
        "| window | requests | lost | runner, MiB | engine, MiB | open files |\n| --- | --- | --- | --- | --- | --- |"
    )
    for number, one in enumerate(found, 1):
        print(
            f"| {number} | {one.done.total()} | {len(one.lost)} | {statistics.median(one.runner_mib):.1f} "
            f"| {statistics.median(one.engine_mib):.1f} | {statistics.median(one.files):.0f} |"
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
    for text in lost[:20]:
        print(f"  {text}")
    return not lost and restarts == 0 and all(by < _FLAT_MIB for by in grown.values())


def main() -> None:
    """Soak and say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between a client's requests, on average")
    parser.add_argument("--windows", type=int, default=6)
    options = parser.parse_args()
    print(machine())
    with node(slots=4, threads=1, queue=32) as bench:
        found = asyncio.run(soak(bench, options.minutes, options.clients, options.pause, options.windows))
        well = report(found, bench.held()["restarts"])
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
