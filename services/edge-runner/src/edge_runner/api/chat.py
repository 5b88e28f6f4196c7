"""Chat completions between OpenAI's shape and the engine's."""

import uuid
from collections.abc import Mapping
from typing import Any

from ..domain.tools import Offer, told
from ..node import Holding
from .errors import ApiError
from .requests import ChatRequest
from .room import room_for_scores
from .structured import checked, response_format


def chat_body(asked: ChatRequest, offer: Offer | None, holding: Holding) -> dict[str, Any]:
    """What the engine is sent. Raises :class:`ApiError` for what the model cannot do."""
    most = holding.engine.max_logprobs
    if asked.top_logprobs is not None and (not asked.logprobs or asked.top_logprobs > most):
        raise ApiError(
            400, "invalid_parameter", f"top_logprobs: at most {most}, and only with logprobs", param="top_logprobs"
        )
    longest = min(asked.most_tokens or holding.spec.context, holding.spec.context)
    room_for_scores("top_logprobs", asked.top_logprobs or 0, longest, stream=asked.stream)
    _text_only(asked)  # no engine here is started with a model's vision part
    instruction = offer.instruction() if offer else None
    body = asked.sampling() | {
        "model": asked.model,
        "messages": told((message.model_dump(exclude_none=True) for message in asked.messages), instruction),
        "stream": asked.stream,
    }
    if (wanted := response_format(asked, offer)) is not None:
        body["response_format"] = wanted
    if asked.most_tokens is not None:
        body["max_tokens"] = asked.most_tokens
    if asked.logprobs:
        body |= {"logprobs": True, "top_logprobs": max(1, asked.top_logprobs or 0)}
    if asked.stream:
        body["stream_options"] = {"include_usage": asked.wants_usage}
    return holding.engine.body(body)


def chat_answer(asked: ChatRequest, offer: Offer | None, holding: Holding, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's whole answer in OpenAI's shape."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": answer["created"],
        "model": holding.model.id,
        "system_fingerprint": holding.fingerprint,
        "choices": [
            {"logprobs": None} | checked(asked, offer, holding.engine.choice(choice)) for choice in answer["choices"]
        ],
        "usage": answer["usage"],
    }


def chat_chunk(holding: Holding, name: str, created: int, chunk: Mapping[str, Any]) -> dict[str, Any]:
    """One chunk in OpenAI's shape."""
    shaped = {
        "id": name,
        "object": "chat.completion.chunk",
        "created": created,
        "model": holding.model.id,
        "system_fingerprint": holding.fingerprint,
        "choices": [holding.engine.choice(choice) for choice in chunk.get("choices", ())],
    }
    return shaped | ({"usage": chunk["usage"]} if chunk.get("usage") else {})


def _text_only(asked: ChatRequest) -> None:
    for number, message in enumerate(asked.messages):
        parts = message.content if isinstance(message.content, list) else ()
        for part in parts:
            if part.get("type") != "text":
                raise ApiError(
                    400,
                    "unsupported_content",
                    f"{asked.model} reads text only, not {part.get('type')!r}",
                    param=f"messages.{number}.content",
                )
