"""The routes of the OpenAI-compatible API, and who may call them."""

import hmac
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request
from pydantic import SecretStr
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from ..node import Holding, Node
from ..observed import Meter, Seen
from . import errors, page
from .chat import chat_answer, chat_body, chat_chunk
from .completions import completion_answer, completion_body, completion_chunks
from .embeddings import embeddings_answer, embeddings_body, refuse_unless_it, room_for_texts
from .errors import ApiError
from .relay import ClientGone, Stream, in_slot, unbroken, unless_gone, whole
from .requests import ChatRequest, CompletionRequest, EmbeddingsRequest, Sampling
from .room import room_for_chat, room_for_prompt
from .structured import checked_chunks, offered


def public_api(node: Node, token: SecretStr | None, meter: Meter) -> ASGIApp:
    """The ASGI app of ``/v1``. Without a token everybody who reaches the address may call."""
    app = FastAPI(
        title="Shipjury edge runner",
        version="1",
        docs_url=None,
        redoc_url=None,
        telemetry=FRAMEWORK_SILENT,
    )
    errors.install(app)
    app.add_exception_handler(ClientGone, _nobody)
    page.install(app)

    @app.get("/v1/models")
    async def models() -> Response:
        return _json(
            {"object": "list", "data": [_described(holding, node.memory_bytes) for holding in node.models.values()]}
        )

    @app.get("/v1/models/{model:path}")
    async def model(model: str) -> Response:
        return _json(_described(_find(node, model), node.memory_bytes))

    @app.post("/v1/completions")
    async def completions(request: Request, asked: CompletionRequest) -> Response:
        holding = _serving(node, asked.model)
        refuse_unless_it(holding, "completions")
        body = completion_body(asked, holding)
        noted = _noted(asked, asked.max_tokens)

        async def answer() -> dict[str, Any]:
            async with (
                node.request(),
                meter.request(holding, "text_completion", **noted) as seen,
                _slot(holding, seen, body) as sent,
            ):
                client = _client(holding)
                await room_for_prompt(holding, client, asked)
                answer = await whole(client, "/v1/completions", sent)
                seen.usage(answer.get("usage"))
                return seen.told(completion_answer(asked, holding, answer))

        async def chunks() -> AsyncIterator[dict[str, Any]]:
            async with (
                node.request(),
                meter.request(holding, "text_completion", **noted) as seen,
                _slot(holding, seen, body) as sent,
            ):
                client = _client(holding)
                await room_for_prompt(holding, client, asked)
                async with client.stream("/v1/completions", sent) as raw:
                    async for chunk in completion_chunks(asked, holding, _id("cmpl"), seen.chunks(unbroken(raw))):
                        yield seen.told(chunk)

        return Stream(chunks()) if asked.stream else _json(await unless_gone(request.receive, answer()))

    @app.post("/v1/chat/completions")
    async def chat(request: Request, asked: ChatRequest) -> Response:
        holding = _serving(node, asked.model)
        refuse_unless_it(holding, "chat")
        offer = offered(asked)
        body = chat_body(asked, offer, holding)
        noted = _noted(asked, asked.most_tokens) | ({"output": "json"} if asked.wants_json else {})

        async def answer() -> dict[str, Any]:
            async with (
                node.request(),
                meter.request(holding, "chat", **noted) as seen,
                _slot(holding, seen, body) as sent,
            ):
                client = _client(holding)
                await room_for_chat(holding, client, asked, body)
                answer = await whole(client, "/v1/chat/completions", sent)
                seen.usage(answer.get("usage"))
                return seen.told(chat_answer(asked, offer, holding, answer))

        async def chunks() -> AsyncIterator[dict[str, Any]]:
            async with (
                node.request(),
                meter.request(holding, "chat", **noted) as seen,
                _slot(holding, seen, body) as sent,
            ):
                client, name, created = _client(holding), _id("chatcmpl"), int(time.time())
                await room_for_chat(holding, client, asked, body)
                async with client.stream("/v1/chat/completions", sent) as raw:
                    async for chunk in checked_chunks(asked, offer, seen.chunks(unbroken(raw))):
                        if chunk.get("choices") or asked.wants_usage:
                            yield seen.told(chat_chunk(holding, name, created, chunk))

        return Stream(chunks()) if asked.stream else _json(await unless_gone(request.receive, answer()))

    @app.post("/v1/embeddings")
    async def embeddings(request: Request, asked: EmbeddingsRequest) -> Response:
        holding = _serving(node, asked.model)
        refuse_unless_it(holding, "embeddings")

        async def answer() -> dict[str, Any]:
            async with node.request(), meter.request(holding, "embeddings") as seen, _slot(holding, seen, {}):
                client = _client(holding)
                await room_for_texts(holding, client, asked)
                answer = await client.ask("/v1/embeddings", embeddings_body(asked))
                seen.usage(answer.get("usage"))
                return embeddings_answer(asked, holding, answer)

        return _json(await unless_gone(request.receive, answer()))

    return _Door(app, token)


@asynccontextmanager
async def _slot(holding: Holding, seen: Seen, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Wait for a turn; the body is then one for the slot that suits it best."""
    async with holding.gate.admitted():
        seen.admitted()
        with in_slot(holding, body) as sent:
            yield sent


def _noted(asked: Sampling, max_tokens: int | None) -> dict[str, Any]:
    """What a trace tells of a request."""
    names = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed", "stream")
    return {name: getattr(asked, name) for name in names} | {"max_tokens": max_tokens}


class _Door:
    """Lets callers with the token in, and says the same to all others."""

    def __init__(self, app: ASGIApp, token: SecretStr | None) -> None:
        self._app = app
        self._wanted = f"Bearer {token.get_secret_value()}".encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            await errors.response_of(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = dict(scope["headers"])
        if self._wanted is not None and scope["path"] not in page.PAGE_PATHS:
            shown = headers.get(b"authorization", b"")
            if not hmac.compare_digest(shown, self._wanted):
                return ApiError(401, "invalid_token", "this node answers only calls with its token")
        return None


def _find(node: Node, model: str) -> Holding:
    try:
        return node.models[model]
    except KeyError:
        if trouble := node.troubles.get(model):
            why = trouble.text or trouble.progress
            code = trouble.code or "model_loading"
            raise ApiError(503, code, f"{model} is not held yet: {why}", param="model", retry_after=10) from None
        held = ", ".join(node.models) or "none"
        raise ApiError(
            404, "model_not_found", f"this node has no model {model!r}; it has: {held}", param="model"
        ) from None


def _serving(node: Node, model: str) -> Holding:
    if node.stopping:
        raise ApiError(503, "node_draining", "this node is stopping; ask another", retry_after=5)
    if node.closed:
        raise ApiError(503, "node_cordoned", "an operator keeps new requests away from this node", retry_after=30)
    return _find(node, model)


def _client(holding: Holding) -> Any:
    status = holding.supervisor.status
    if holding.supervisor.client is None:
        why = f": {status.failure.text}" if status.failure else ""
        code = "out_of_memory" if status.failure and status.failure.kind == "out_of_memory" else "engine_not_ready"
        raise ApiError(503, code, f"the engine of {holding.model.id} is {status.state}{why}", retry_after=2)
    return holding.supervisor.client


def _described(holding: Holding, memory: int) -> dict[str, Any]:
    return {
        "id": holding.model.id,
        "object": "model",
        "created": 0,
        "owned_by": holding.model.vendor,
        "state": holding.state,
        "context_tokens": holding.spec.context,
        "slots": holding.spec.slots,
        "resident_bytes": holding.resident_bytes(),
        "memory_bytes": memory,
        "tokens_per_second": holding.supervisor.status.tokens_per_second,
        "max_logprobs": holding.engine.max_logprobs,
        "capabilities": holding.capabilities,
        "licence": holding.model.licence.name,
        "quantization": holding.weights.quantization,
        "weights_sha256": holding.weights.sha256,
        "engine": holding.engine.build(),
        "system_fingerprint": holding.fingerprint,
    }


def _id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


async def _nobody(_: Request, __: Exception) -> Response:
    """For a client that has left: nobody reads it, and it is no error of ours. Counted as nginx counts it."""
    return Response(status_code=499)


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
