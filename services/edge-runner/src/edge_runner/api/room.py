"""Whether a request fits into context and memory, found out before it takes the engine's time."""

from typing import Any

from ..domain.fit import MOST_SCORES, MOST_SCORES_STREAMED
from ..engines.client import EngineClient
from ..node import Holding
from .errors import ApiError, too_long
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


def room_for_scores(param: str, a_token: int, tokens: int, *, stream: bool) -> None:
    """Raises 400 where an answer would have more log-probabilities than its engine has room for."""
    most = MOST_SCORES_STREAMED if stream else MOST_SCORES
    if a_token * tokens > most:
        kind = "a stream" if stream else "a whole answer"
        raise ApiError(
            400,
            "invalid_parameter",
            f"{param}: {a_token} a token are {a_token * tokens:,} for {tokens:,} tokens, and {kind} may have {most:,}: "
            f"ask for at most {most // a_token} tokens" + ("" if stream else ", or for a stream"),
            param=param,
        )


def _check(holding: Holding, prompt_tokens: int, max_tokens: int | None) -> None:
    if prompt_tokens + (max_tokens or 1) > holding.spec.context:
        raise too_long(prompt_tokens, max_tokens, holding.spec.context)
