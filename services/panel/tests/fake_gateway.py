"""A strict stand-in for the gateway's `/v1/completions`: it refuses what the panel must not send, and fails on order.

It reads "tone" from a list of words, so that tests know what a fact's reading must be; nothing of it is a model.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache

from aiohttp import web

from panel.domain.calibration import facts_of
from panel.domain.tone import FRAMES, LEAD, REWORDED, Frame, sentence
from panel.gateway import PING
from panel.library import library

KEY = "panel-key"
MODEL = "smollm2-135m-instruct"
FILLER = tuple((f" word{number}", -5.0 - number / 1000) for number in range(1000))
GOOD_WORDS = ("stable", "offline", "generous", "closed within", "one line", "answers within")
BAD_WORDS = ("lost data", "archived", "plain text", "Nobody answers", "crashes", "tripled")


@dataclass
class FakeGateway:
    """What it was asked, and what it shall do wrong next."""

    url: str = ""
    weights: str = "abcdef0123456789" * 4
    engine: str = "fake engine 1"
    describes: bool = True
    """Whether the list of models tells the weights."""
    prompts: list[str] = field(default_factory=list)
    answered: int = 0
    at_once: int = 0
    most_at_once: int = 0
    faults: list[str] = field(default_factory=list)
    """Taken one a call, in order: empty, few, late, garbage, away, refused."""
    gate: asyncio.Event | None = None
    """Where set, calls wait for it."""
    tone: dict[str, float] = field(default_factory=dict)
    """Exact statements with the difference that each frame shall give."""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        body = await request.json()
        assert set(body) == {"model", "prompt", "max_tokens", "temperature", "logprobs"}, body
        assert (body["model"], body["max_tokens"], body["temperature"]) == (MODEL, 1, 0)
        if body["prompt"] == PING:
            return web.json_response(self._answer(body))
        self.prompts.append(body["prompt"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if self.gate:
                await self.gate.wait()
            fault = self.faults.pop(0) if self.faults else None
            if fault:
                return await self._wrong(fault, body)
            self.answered += 1
            return web.json_response(
                self._answer(body), headers={"x-request-id": f"req-{self.answered}", "x-shipjury-cost-nano-usd": "7"}
            )
        finally:
            self.at_once -= 1

    async def _wrong(self, fault: str, body: dict[str, object]) -> web.StreamResponse:
        if fault == "empty":
            return web.json_response({"choices": [{"text": "", "logprobs": None}]})
        if fault == "none":
            return web.json_response({"choices": []})
        if fault == "few":
            return web.json_response(self._answer({**body, "logprobs": 20}))
        if fault == "late":
            await asyncio.sleep(3600)
        if fault == "garbage":
            return web.Response(text="<html>busy</html>", content_type="text/html")
        if fault == "refused":
            return web.json_response({"error": {"message": "the budget is spent", "code": "budget"}}, status=402)
        return web.json_response({"error": {"message": "no node is ready"}}, status=503)

    def _answer(self, body: dict[str, object]) -> dict[str, object]:
        prompt, asked = str(body["prompt"]), int(str(body["logprobs"]))
        good, bad, difference = self._lean(prompt)
        top = {f" {good}": -3.0 + difference / 2, f" {bad}": -3.0 - difference / 2}
        top |= dict(FILLER[: asked - len(top)])
        return {
            "id": "cmpl-1",
            "system_fingerprint": f"{self.engine}; {self.weights[:16]}; kv f16",
            "choices": [{"text": " the", "logprobs": {"tokens": [" the"], "top_logprobs": [top]}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 1},
        }

    def _lean(self, prompt: str) -> tuple[str, str, float]:
        frame = next((one for one in (*FRAMES, *REWORDED) if prompt.endswith(one.continuation)), None)
        if frame is None:
            return "a", "b", 1.0  # whoever is placed first wins: the known weakness of a small model
        return frame.good, frame.bad, self._difference(prompt, frame)

    def _difference(self, prompt: str, frame: Frame) -> float:
        statement = prompt.removeprefix(LEAD).removesuffix(frame.continuation).strip()
        labels = _labels()
        if statement in self.tone:
            return self.tone[statement]
        if statement in labels:
            return labels[statement] * 2 + len(statement) % 7 / 10
        good = sum(word in statement for word in GOOD_WORDS)
        bad = sum(word in statement for word in BAD_WORDS)
        return 3.0 * (good - bad) + len(statement) % 5 / 10

    async def model(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.match_info["name"] == MODEL
        providers = [{"provider": "edge-1", "weights_sha256": self.weights}] if self.describes else []
        return web.json_response({"id": MODEL, "owned_by": "edge-1", "providers": providers})

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt was asked."""
        return Counter(self.prompts)


@cache
def _labels() -> dict[str, int]:
    papers = library().papers
    return {sentence(fact.text): fact.polarity for fact in facts_of((*papers.fit, *papers.examined))}


@asynccontextmanager
async def fake_gateway() -> AsyncIterator[FakeGateway]:
    """The stand-in on a free port."""
    fake = FakeGateway()
    app = web.Application()
    app.router.add_post("/v1/completions", fake.completions)
    app.router.add_get("/v1/models/{name}", fake.model)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()
