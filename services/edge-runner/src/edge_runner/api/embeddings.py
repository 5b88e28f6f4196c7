"""Embeddings between OpenAI's shape and the engine's, for models whose entry says that they make them."""

import base64
import struct
from collections.abc import Mapping
from typing import Any

from ..engines.client import EngineClient
from ..node import Holding
from .errors import ApiError, too_long
from .requests import EmbeddingsRequest


def refuse_unless_it(holding: Holding, operation: str) -> None:
    """Raises :class:`ApiError` where a model is asked for embeddings and generates text, or the other way round."""
    if ("embeddings" in holding.capabilities) == (operation == "embeddings"):
        return
    why = (
        "generates text; it makes no embeddings" if operation == "embeddings" else "makes embeddings; it writes no text"
    )
    raise ApiError(400, "unsupported_operation", f"{holding.model.id} {why}", param="model")


def embeddings_body(asked: EmbeddingsRequest) -> dict[str, Any]:
    """What the engine is sent. It is always asked for numbers: its base64 is left to us."""
    return {"model": asked.model, "input": asked.texts, "encoding_format": "float"}


async def room_for_texts(holding: Holding, client: EngineClient, asked: EmbeddingsRequest) -> None:
    """Raises 413 with the numbers where a text exceeds the context: a vector of a part of it would be a lie."""
    for text in asked.texts:
        if isinstance(text, str):
            if len(text.encode()) < holding.spec.context:
                continue  # a token has at least one byte
            path, body = holding.engine.prompt_to_count(text)
            length = len((await client.ask(path, body))["tokens"])
        else:
            length = len(text)
        if length > holding.spec.context:
            raise too_long(length, None, holding.spec.context, param="input")


def embeddings_answer(asked: EmbeddingsRequest, holding: Holding, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's answer in OpenAI's shape; base64 is little-endian float32."""
    vectors = sorted(answer["data"], key=lambda one: one["index"])
    return {
        "object": "list",
        "model": holding.model.id,
        "data": [
            {"object": "embedding", "index": one["index"], "embedding": _written(asked, one["embedding"])}
            for one in vectors
        ],
        "usage": answer["usage"],
    }


def _written(asked: EmbeddingsRequest, vector: list[float]) -> list[float] | str:
    if asked.encoding_format == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
