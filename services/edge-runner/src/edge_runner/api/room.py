"""Whether a request fits into the context, found out before it takes the engine's time."""

from typing import Any

from ..engines.client import EngineClient
from ..node import Holding
from .errors import too_long
from .requests import ChatRequest, CompletionRequest

_TEMPLATE_TOKENS = 256
_TEMPLATE_TOKENS_A_MESSAGE = 16


async def room_for_prompt(holding: Holding, client: EngineClient, asked: CompletionRequest) -> None:
    """Raises 413 where prompt and completion exceed the context."""
    prompt = asked.prompt[0] if isinstance(asked.prompt, list) and isinstance(asked.prompt[0], str) else asked.prompt
    if isinstance(prompt, str):
        if len(prompt.encode()) + asked.max_tokens < holding.spec.context:
            return  # a token has at least one byte: this fits without counting
        path, body = holding.engine.prompt_to_count(prompt)
        tokens = len((await client.ask(path, body))["tokens"])
    else:
        tokens = len(prompt)
    _check(holding, tokens, asked.max_tokens)


async def room_for_chat(holding: Holding, client: EngineClient, asked: ChatRequest, body: dict[str, Any]) -> None:
    """Raises 413 where chat and completion exceed the context."""
    wanted = asked.most_tokens or 1
    bound = sum(len(str(message).encode()) + _TEMPLATE_TOKENS_A_MESSAGE for message in body["messages"])
    bound += len(str(body.get("tools", ""))) + _TEMPLATE_TOKENS
    if bound + wanted < holding.spec.context:
        return
    path, question = holding.engine.chat_to_count(body)
    counted = await client.ask(path, question)
    if "tokens" not in counted:
        path, question = holding.engine.prompt_to_count(counted["prompt"])
        counted = await client.ask(path, question)
    _check(holding, len(counted["tokens"]), asked.most_tokens)


def _check(holding: Holding, prompt_tokens: int, max_tokens: int | None) -> None:
    if prompt_tokens + (max_tokens or 1) > holding.spec.context:
        raise too_long(prompt_tokens, max_tokens, holding.spec.context)
