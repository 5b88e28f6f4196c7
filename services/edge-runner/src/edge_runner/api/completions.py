"""Plain completions between OpenAI's shape and the engine's: the log-probabilities are what differs."""

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ..domain.logprobs import legacy
from ..node import Holding
from .errors import ApiError
from .requests import CompletionRequest
from .room import room_for_scores


def completion_body(asked: CompletionRequest, holding: Holding) -> dict[str, Any]:
    """What the engine is sent. Raises :class:`ApiError` where too many log-probabilities are asked for."""
    most = holding.engine.max_logprobs
    if asked.logprobs is not None and asked.logprobs > most:
        raise ApiError(400, "invalid_parameter", f"logprobs: at most {most}, not {asked.logprobs}", param="logprobs")
    room_for_scores("logprobs", asked.logprobs or 0, asked.max_tokens, stream=asked.stream)
    if isinstance(asked.prompt, list) and asked.prompt and isinstance(asked.prompt[0], str):
        if len(asked.prompt) > 1:
            raise ApiError(400, "unsupported_parameter", "prompt: one at a time, not a list of several", param="prompt")
        prompt: Any = asked.prompt[0]
    else:
        prompt = asked.prompt
    if not prompt:
        raise ApiError(400, "invalid_parameter", "prompt: must not be empty", param="prompt")
    body = asked.sampling() | {
        "model": asked.model,
        "prompt": prompt,
        "max_tokens": asked.max_tokens,
        "stream": asked.stream,
    }
    if asked.logprobs is not None:
        body["logprobs"] = max(1, asked.logprobs)  # llama.cpp takes 0 for none; the chosen token's is wanted
    if asked.stream:
        body["stream_options"] = {"include_usage": True}
    return holding.engine.body(body)


def completion_answer(asked: CompletionRequest, holding: Holding, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's whole answer in OpenAI's shape."""
    return _envelope(holding, f"cmpl-{uuid.uuid4().hex}", answer["created"]) | {
        "choices": [_choice(asked, holding, choice, 0) for choice in answer["choices"]],
        "usage": answer["usage"],
    }


async def completion_chunks(
    asked: CompletionRequest, holding: Holding, name: str, chunks: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[dict[str, Any]]:
    """The engine's chunks in OpenAI's shape; usage comes last and only where it was asked for."""
    created, offset = int(time.time()), 0
    usage: Any = None
    async for chunk in chunks:
        usage = chunk.get("usage") or usage
        if not chunk.get("choices"):
            continue
        choices = [_choice(asked, holding, choice, offset) for choice in chunk["choices"]]
        offset += len(choices[0]["text"])
        yield _envelope(holding, name, created) | {"choices": choices}
    if asked.stream_options is not None and asked.stream_options.include_usage:
        yield _envelope(holding, name, created) | {"choices": [], "usage": usage}


def _choice(asked: CompletionRequest, holding: Holding, choice: Mapping[str, Any], offset: int) -> dict[str, Any]:
    scored = holding.engine.completion_logprobs(choice, holding.spec) if asked.logprobs is not None else ()
    return {
        "index": choice.get("index", 0),
        "text": choice["text"],
        "finish_reason": choice.get("finish_reason"),
        "logprobs": legacy(scored, asked.logprobs or 0, offset) if scored else None,
    }


def _envelope(holding: Holding, name: str, created: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "text_completion",
        "created": created,
        "model": holding.model.id,
        "system_fingerprint": holding.fingerprint,
    }
