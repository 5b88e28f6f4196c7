"""Answers in one piece, and refusals that a fault asked for."""

import asyncio
from typing import Any

from aiohttp import web

from . import content, errors, limits
from .call import Call
from .faults import Fault


async def break_before(call: Call, fault: Fault) -> web.StreamResponse:
    """Break before a byte of the answer."""
    if fault in (Fault.HANG, Fault.RESET):
        # It has read the prompt; whether a provider bills that, only its invoice tells.
        call.bill(fault.value, 0)
        if fault is Fault.HANG:
            await asyncio.sleep(3600)
        if call.request.transport is not None:
            call.request.transport.abort()
        return web.Response()
    call.bill("refused", 0, nothing=True)
    if fault in (Fault.RATE_LIMIT, Fault.RATE_LIMIT_RETRY_AFTER):
        told = limits.headers(call.provider, refused=True, retry_after=fault is Fault.RATE_LIMIT_RETRY_AFTER)
        refused = errors.Refused(429, "rate limit reached", code="rate_limit_exceeded")
        return errors.answer(call.provider, refused, told)
    status = int(fault.value)
    return errors.answer(call.provider, errors.Refused(status, {500: "boom", 503: "overloaded"}[status]))


def completion(call: Call, words: list[str]) -> web.Response:
    """A chat or plain completion."""
    body, fault = call.body, call.fault
    n = body.get("n") or 1
    if fault is Fault.MALFORMED:
        call.bill("malformed", len(words) * n)
        return web.Response(body=b'{"id": "broken', content_type="application/json")
    answer: dict[str, Any] = {
        "id": call.id,
        "object": "chat.completion" if call.chat else "text_completion",
        "created": 1,
        "model": body["model"],
        "choices": [_choice(call, words, index) for index in range(n)],
    }
    if fault is not Fault.NO_USAGE:
        answer["usage"] = content.usage((*call.given, len(words) * n), fault)
    call.bill("complete", len(words) * n)
    return web.json_response(answer, headers=call.headers())


def embeddings(call: Call) -> web.Response:
    """Embeddings: a vector a text, and the tokens that they cost."""
    texts = content.texts_of(call.body)
    tokens = sum(content.tokens(str(text)) for text in texts)
    call.account.bill(call.provider.id, call.attempt, str(call.body["model"]), end="complete", tokens=(tokens, 0, 0))
    vector = content.vector(call.body)
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "model": call.body["model"], "data": data, "usage": usage}
    return web.json_response(answer, headers=call.headers())


def _choice(call: Call, words: list[str], index: int) -> dict[str, Any]:
    body = call.body
    choice: dict[str, Any] = {"index": index, "finish_reason": content.finish(body, words)}
    if not call.chat:
        choice["text"] = " ".join(words)
    elif content.calls_tool(body):
        choice["message"] = {"role": "assistant", "content": None, "tool_calls": [content.tool_call(body)]}
    else:
        choice["message"] = {"role": "assistant", "content": " ".join(words)}
    choice["logprobs"] = content.logprobs(body, words, chat=call.chat, fault=call.fault)
    return choice
