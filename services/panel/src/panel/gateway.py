"""The panel's calls to the inference gateway: one token at a time, with its log-probabilities.

An answer that is empty, short of log-probabilities or late is an error that is tried again, never a reading.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import aiohttp

from shipjury_delivery.telemetry import current_traceparent, tracer

from .domain.exam import JudgeIdentity
from .domain.tone import TOP, TokenChance

FEWEST_SHARE = 0.95
"""Share of the log-probabilities asked for that must come: tokens of one text are merged on the way, so a few fewer
are in order; twenty where a thousand were asked for are not."""

PING = "About a software tool: It is named after a river. This is a big"
"""Asked for one token, to learn from the answer what stands behind a model's name."""

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class ReadingFailed(Exception):
    """No reading came of it. The job that asked tries again later."""


class NothingAnswered(ReadingFailed):
    """The model answered, with nothing in it."""


class TooFewLogprobs(ReadingFailed):
    """Fewer log-probabilities came than were asked for: the provider cannot be read by."""


class TooLate(ReadingFailed):
    """No answer within the deadline."""


class GatewayAway(ReadingFailed):
    """The gateway cannot be reached, or asks to come back later."""


class GatewayRefused(ReadingFailed):
    """The gateway refused the call for good: key, budget, model or route. The text is its own."""


@dataclass(frozen=True)
class Continuation:
    """What the model would say next."""

    chances: tuple[TokenChance, ...]
    request_id: str | None
    cost_nano_usd: int | None
    fingerprint: str | None


class Gateway:
    """A client of the gateway's OpenAI-compatible API, bounded in calls under way."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        key: str,
        model: str,
        *,
        deadline: timedelta,
        attempts: int,
        concurrency: int,
    ) -> None:
        self.model = model
        self._session = session
        self._url = url.rstrip("/")
        self._key = key
        self._deadline = deadline.total_seconds()
        self._attempts = attempts
        self._room = asyncio.Semaphore(concurrency)
        self._jitter = Random()

    async def identify(self, weights: str | None = None, engine: str | None = None) -> JudgeIdentity:
        """What stands behind the model's name, as far as it is told; the arguments override it.

        Engine build and weights are read from the ``system_fingerprint`` of an answer, since that tells of the node
        that answered; the whole hash of the weights from the list of models, where it is there.
        """
        answer = await self.next_token(PING, top=1)
        told_weights, told_engine = _behind(answer.fingerprint)
        return JudgeIdentity(
            model=self.model,
            weights=weights or await self._whole_hash(told_weights) or told_weights,
            engine=engine or told_engine,
        )

    async def _whole_hash(self, beginning: str | None) -> str | None:
        """The hash of the weights from the list of models, where it begins as the answer's fingerprint says."""
        try:
            document = await self._call("GET", f"/models/{self.model.partition(':')[0]}", None)
        except GatewayRefused:  # a gateway need not describe its models
            return None
        whole = _told(document, "weights_sha256")
        return whole if whole and whole.startswith(beginning or "") else None

    async def next_token(self, prompt: str, top: int = TOP) -> Continuation:
        """The likeliest next tokens. Raises :class:`ReadingFailed` after the last attempt."""
        body = {"model": self.model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": top}
        failure: ReadingFailed = GatewayAway("no attempt was made")
        for attempt in range(self._attempts):
            try:
                async with self._room:
                    return _continuation(await self._call("POST", "/completions", body), top)
            except GatewayRefused:
                raise
            except ReadingFailed as error:
                failure = error
            if attempt + 1 < self._attempts:
                await asyncio.sleep(0.2 * 2**attempt * (1 + self._jitter.random()))
        raise failure

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        if traceparent := current_traceparent():
            headers["traceparent"] = traceparent
        try:
            async with (
                asyncio.timeout(self._deadline),
                self._session.request(method, self._url + path, json=body, headers=headers) as response,
            ):
                raw = await response.read()
        except TimeoutError as error:
            raise TooLate(f"{path}: no answer within {self._deadline:g} s") from error
        except aiohttp.ClientError as error:
            raise GatewayAway(f"{path}: {type(error).__name__}: {error}") from error
        if response.status >= 400:
            text = f"{path}: HTTP {response.status}: {_error(raw)}"
            raise (GatewayAway if response.status in _RETRIED else GatewayRefused)(text)
        return {**_document(path, raw), "headers": response.headers}


@asynccontextmanager
async def connect(
    url: str, key: str, model: str, *, deadline: timedelta, attempts: int, concurrency: int
) -> AsyncIterator[Gateway]:
    """A client with its own connections, closed at the end."""
    connector = aiohttp.TCPConnector(limit=concurrency + 2)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Gateway(session, url, key, model, deadline=deadline, attempts=attempts, concurrency=concurrency)


def _continuation(document: Mapping[str, Any], asked: int) -> Continuation:
    try:
        logprobs = document["choices"][0].get("logprobs")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise NothingAnswered("the answer holds no choice") from error
    chances = _chances(logprobs)
    if not chances:
        raise NothingAnswered("the answer holds no token with log-probabilities")
    if len(chances) < FEWEST_SHARE * asked:
        raise TooFewLogprobs(f"{len(chances)} log-probabilities came, {asked} were asked for")
    headers = document["headers"]
    return Continuation(
        chances=chances,
        request_id=headers.get("x-request-id") or document.get("id"),
        cost_nano_usd=_cost(headers.get("x-shipjury-cost-nano-usd")),
        fingerprint=document.get("system_fingerprint"),
    )


def _chances(logprobs: Any) -> tuple[TokenChance, ...]:
    """OpenAI's legacy shape (a map by text), or the shape of chat completions that llama.cpp's own server speaks."""
    try:
        if logprobs.get("top_logprobs"):
            return tuple(TokenChance(text, float(value)) for text, value in logprobs["top_logprobs"][0].items())
        entries = logprobs["content"][0]["top_logprobs"]
        return tuple(TokenChance(entry["token"], float(entry["logprob"])) for entry in entries)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return ()


def _document(path: str, raw: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise NothingAnswered(f"{path}: the answer is no JSON") from error
    if not isinstance(document, dict):
        raise NothingAnswered(f"{path}: the answer is no object")
    return document


def _error(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return raw[:200].decode(errors="replace")


def _told(document: Mapping[str, Any], name: str) -> str | None:
    """What the description of a model tells, at the top or of one of its providers."""
    places = [document, *(one for one in document.get("providers") or () if isinstance(one, dict))]
    return next((str(place[name]) for place in places if isinstance(place.get(name), str) and place[name]), None)


def _behind(fingerprint: str | None) -> tuple[str | None, str | None]:
    """Weights and engine in a fingerprint such as `llama.cpp (xllamacpp 2026.10); b179c9523d0e6a0f; kv f16`.

    What is no hash names the engine: build and options alike, since both move the numbers.
    """
    parts = [part.strip() for part in (fingerprint or "").split(";") if part.strip()]
    weights = next((part for part in parts if _HASH.fullmatch(part)), None)
    return weights, "; ".join(part for part in parts if part != weights) or None


_HASH = re.compile(r"[0-9a-f]{12,64}")


def _cost(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


TRACER = tracer("panel")
