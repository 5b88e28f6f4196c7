"""The simulated providers' HTTP: `/<provider>/v1/{chat/completions,completions,embeddings,models}`."""

import asyncio
import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from aiohttp import web

from .account import Account
from .faults import Fault, wanted

ACCOUNT = web.AppKey("account", Account)
TARIFFS = web.AppKey("tariffs", dict[str, dict[str, Any]])
_WORDS = "the jury has read the evidence and finds that this tool does what its page says".split()  # noqa: SIM905
_COUNT = re.compile(r"words=(\d+)")


def make_app(tariffs: dict[str, dict[str, Any]] | None = None) -> web.Application:
    """The app; ``app[ACCOUNT]`` is its account."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[ACCOUNT] = Account()
    app[TARIFFS] = tariffs or tomllib.loads(Path(__file__).with_name("providers.toml").read_text())
    app.router.add_post("/{provider}/v1/chat/completions", complete)
    app.router.add_post("/{provider}/v1/completions", complete)
    app.router.add_post("/{provider}/v1/embeddings", embed)
    app.router.add_get("/{provider}/v1/models", models)
    app.router.add_get("/_sim/account", account)
    app.router.add_post("/_sim/reset", reset)
    return app


async def account(request: web.Request) -> web.Response:
    """Every attempt so far."""
    return web.json_response(request.app[ACCOUNT].as_json())


async def reset(request: web.Request) -> web.Response:
    """Forget every attempt."""
    request.app[ACCOUNT].lines.clear()
    return web.json_response({})


async def models(request: web.Request) -> web.Response:
    """The provider's models."""
    tariff = _authenticated(request)
    return web.json_response({"object": "list", "data": [{"id": m, "object": "model"} for m in tariff["models"]]})


async def embed(request: web.Request) -> web.Response:
    """Embeddings: a vector a text, and the tokens that they cost."""
    tariff, body = _authenticated(request), await _body(request)
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    tokens = sum(_tokens(str(text)) for text in texts)
    _bill(request, tariff, body, "complete", (tokens, 0, 0))
    data = [{"object": "embedding", "index": i, "embedding": [0.1, 0.2]} for i in range(len(texts))]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return web.json_response({"object": "list", "model": body["model"], "data": data, "usage": usage})


async def complete(request: web.Request) -> web.StreamResponse:
    """Chat and plain completions."""
    tariff, body = _authenticated(request), await _body(request)
    chat = request.path.endswith("/chat/completions")
    _check(tariff, body, chat=chat)
    prompt = _prompt(body, chat=chat)
    fault = wanted(prompt, request.match_info["provider"])
    if fault in _BEFORE:
        return await _break_before(request, tariff, body, fault, _tokens(prompt))
    words = _answer(prompt, body)
    if body.get("stream"):
        return await _stream(request, tariff, body, chat, prompt, words, fault)
    return await _whole(request, tariff, body, chat, prompt, words, fault)


_BEFORE = {
    Fault.RATE_LIMIT,
    Fault.RATE_LIMIT_RETRY_AFTER,
    Fault.SERVER_ERROR,
    Fault.UNAVAILABLE,
    Fault.HANG,
    Fault.RESET,
}


async def _break_before(
    request: web.Request, tariff: dict[str, Any], body: dict[str, Any], fault: Fault, given: int
) -> web.StreamResponse:
    if fault in (Fault.HANG, Fault.RESET):
        # It has read the prompt; whether a provider bills that, only its invoice tells.
        _bill(request, tariff, body, fault.value, (given, 0, 0))
        if fault is Fault.HANG:
            await asyncio.sleep(3600)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    _bill(request, tariff, body, "refused", (0, 0, 0))
    if fault is Fault.RATE_LIMIT_RETRY_AFTER:
        return _error(429, "rate limit reached", code="rate_limit_exceeded", headers={"Retry-After": "2"})
    status = int(fault.value)
    return _error(status, {429: "rate limit reached", 500: "boom", 503: "overloaded"}[status], code="simulated")


async def _whole(
    request: web.Request,
    tariff: dict[str, Any],
    body: dict[str, Any],
    chat: bool,
    prompt: str,
    words: list[str],
    fault: Fault | None,
) -> web.Response:
    n = body.get("n", 1)
    tokens = (_tokens(prompt), _cached(prompt), len(words) * n)
    if fault is Fault.MALFORMED:
        _bill(request, tariff, body, "malformed", tokens)
        return web.Response(body=b'{"id": "broken', content_type="application/json")
    text = " ".join(words)
    choices = []
    for index in range(n):
        choice: dict[str, Any] = {"index": index, "finish_reason": _finish(body, words)}
        if chat:
            choice["message"] = {"role": "assistant", "content": text}
            if body.get("tools"):
                choice["message"] = {"role": "assistant", "content": None, "tool_calls": [_tool_call(body)]}
                choice["finish_reason"] = "tool_calls"
        else:
            choice["text"] = text
        choice["logprobs"] = _logprobs(body, words, chat=chat, fault=fault)
        choices.append(choice)
    answer = {
        "id": f"sim-{_attempt(request)[:8]}",
        "object": "chat.completion" if chat else "text_completion",
        "created": 1,
        "model": body["model"],
        "choices": choices,
    }
    if fault is not Fault.NO_USAGE:
        answer["usage"] = _usage(tokens, fault)
    _bill(request, tariff, body, "complete", tokens)
    return web.json_response(answer)


async def _stream(
    request: web.Request,
    tariff: dict[str, Any],
    body: dict[str, Any],
    chat: bool,
    prompt: str,
    words: list[str],
    fault: Fault | None,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    made, end = 0, "complete"
    given, cached = _tokens(prompt), _cached(prompt)
    try:
        await response.prepare(request)
        for made, word in enumerate(words, start=1):
            if made == 3 and fault in _MID:
                end = fault.value
                return await _break_mid(request, response, fault)
            if fault is Fault.SLOW:
                await asyncio.sleep(0.1)
            await response.write(_event(_piece(request, body, chat, word + " ")))
        if fault is not Fault.NO_FINISH:
            await response.write(_event(_piece(request, body, chat, "", finish=_finish(body, words))))
        asked = (body.get("stream_options") or {}).get("include_usage")
        if fault is not Fault.NO_USAGE and (asked or tariff["usage_in_stream"] == "always"):
            last = _piece(request, body, chat, "") | {"choices": [], "usage": _usage((given, cached, made), fault)}
            await response.write(_event(last))
        await response.write(b"data: [DONE]\n\n")
    except (ConnectionResetError, asyncio.CancelledError):
        end = "cancelled"
        if tariff["bills_cancelled"] == "whole":
            made = len(words)
        raise
    finally:
        _bill(request, tariff, body, end, (given, cached, made))
    return response


_MID = {Fault.STALL, Fault.CUT, Fault.RESET_MID, Fault.MALFORMED, Fault.ERROR_EVENT}


async def _break_mid(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    # What has been sent arrives before what breaks: a real break seldom shares a packet with what came before it.
    await asyncio.sleep(3600 if fault is Fault.STALL else 0.05)
    if fault is Fault.MALFORMED:
        await response.write(b'data: {"id": "brok\n\n')
    if fault is Fault.ERROR_EVENT:
        await response.write(_event({"error": {"message": "the model fell over", "type": "server_error"}}))
    if fault is Fault.RESET_MID and request.transport is not None:
        request.transport.abort()
    return response


def _authenticated(request: web.Request) -> dict[str, Any]:
    tariff = request.app[TARIFFS].get(request.match_info["provider"])
    if tariff is None:
        raise web.HTTPNotFound
    if request.headers.get("Authorization") != f"Bearer {tariff['key']}":
        raise web.HTTPUnauthorized(
            text=json.dumps({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}),
            content_type="application/json",
        )
    return tariff


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise _refusal("could not parse the body", "body") from error
    if not isinstance(body, dict):
        raise _refusal("the body is no object", "body")
    return body


_KNOWN = frozenset(
    {
        "model",
        "messages",
        "prompt",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "n",
        "stop",
        "seed",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "user",
        "echo",
        "best_of",
        "suffix",
    }
)


def _check(tariff: dict[str, Any], body: dict[str, Any], *, chat: bool) -> None:
    if body.get("model") not in tariff["models"]:
        raise _refusal(f"The model `{body.get('model')}` does not exist", "model", status=404)
    for name in body:
        if name not in _KNOWN:
            raise _refusal(f"Unrecognized request argument supplied: {name}", name)
        if name in tariff["rejects"] and body[name] is not None:
            raise _refusal(f"`{name}` is not supported by this model", name)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise _refusal("stream_options needs stream", "stream_options")
    asked = body.get("top_logprobs") if chat else body.get("logprobs")
    if isinstance(asked, int) and asked > tariff["max_logprobs"]:
        raise _refusal(f"at most {tariff['max_logprobs']} log-probabilities", "logprobs")


def _prompt(body: dict[str, Any], *, chat: bool) -> str:
    if not chat:
        prompt = body["prompt"]
        return " ".join(str(part) for part in prompt) if isinstance(prompt, list) else str(prompt)
    texts = []
    for message in body["messages"]:
        content = message.get("content") or ""
        texts.append(content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content))
    return "\n".join(texts)


def _answer(prompt: str, body: dict[str, Any]) -> list[str]:
    found = _COUNT.search(prompt)
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 10_000
    count = min(int(found.group(1)) if found else len(_WORDS), limit)
    return [_WORDS[index % len(_WORDS)] for index in range(count)]


def _finish(body: dict[str, Any], words: list[str]) -> str:
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return "length" if limit is not None and len(words) >= limit else "stop"


def _piece(
    request: web.Request, body: dict[str, Any], chat: bool, text: str, finish: str | None = None
) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    if chat:
        choice["delta"] = {"content": text} if text else {}
    else:
        choice["text"] = text
    return {
        "id": f"sim-{_attempt(request)[:8]}",
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
    }


def _logprobs(body: dict[str, Any], words: list[str], *, chat: bool, fault: Fault | None) -> dict[str, Any] | None:
    asked = body.get("logprobs")
    if asked is None or asked is False:
        return None
    count = (body.get("top_logprobs") or 0) if chat else int(asked)
    if fault is Fault.FEWER_LOGPROBS:
        count = min(count, 5)
    if chat:
        content = [
            {
                "token": word,
                "logprob": -0.1,
                "bytes": None,
                "top_logprobs": [
                    {"token": f"{word}{rank}", "logprob": -0.1 - rank, "bytes": None} for rank in range(count)
                ],
            }
            for word in words
        ]
        return {"content": content, "refusal": None}
    tops = [{f"{word}{rank}": -math.log(rank + 2) for rank in range(count)} for word in words]
    return {
        "tokens": words,
        "token_logprobs": [-0.1] * len(words),
        "top_logprobs": tops,
        "text_offset": [0] * len(words),
    }


def _tool_call(body: dict[str, Any]) -> dict[str, Any]:
    name = body["tools"][0]["function"]["name"]
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}


def _usage(tokens: tuple[int, int, int], fault: Fault | None) -> dict[str, Any]:
    given, cached, made = tokens
    if fault is Fault.WRONG_USAGE:
        made = -made
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _tokens(text: str) -> int:
    return len(text.split()) + 3


def _cached(prompt: str) -> int:
    return _tokens(prompt) // 2 if "cached" in prompt else 0


def _attempt(request: web.Request) -> str:
    return request.headers.get("X-Client-Request-Id", "none")


def _bill(
    request: web.Request, tariff: dict[str, Any], body: dict[str, Any], end: str, tokens: tuple[int, int, int]
) -> None:
    request.app[ACCOUNT].bill(
        request.match_info["provider"], tariff, _attempt(request), str(body.get("model")), end=end, tokens=tokens
    )


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _error(status: int, message: str, *, code: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "simulated", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


def _refusal(message: str, param: str, *, status: int = 400) -> web.HTTPException:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}
    kind = web.HTTPNotFound if status == 404 else web.HTTPBadRequest
    return kind(text=json.dumps(body), content_type="application/json")
