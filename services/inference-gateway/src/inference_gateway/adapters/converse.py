"""OpenAI's chat completions in the words of Bedrock's Converse, and back. What has no such words is refused, by name.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import base64
import binascii
from typing import Any

import orjson

from ..domain.errors import GatewayError

PARAMETERS = frozenset({"max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "tools", "tool_choice"})
"""What Converse knows of a chat completion's parameters."""
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}


def request(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a Converse request. Raises :class:`GatewayError` that names what can't be carried over."""
    system, messages = _messages(body["messages"])
    asked: dict[str, Any] = {"messages": messages}
    if system:
        asked["system"] = system
    config = {
        "maxTokens": body.get("max_completion_tokens") or body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "topP": body.get("top_p"),
        "stopSequences": [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop"),
    }
    config = {name: value for name, value in config.items() if value is not None}
    if config:
        asked["inferenceConfig"] = config
    if body.get("tools") and body.get("tool_choice") != "none":
        asked["toolConfig"] = _tools(body["tools"], body.get("tool_choice"))
    return asked


def answer(raw: bytes, model: str) -> bytes:
    """A chat completion out of a Converse answer. Raises :class:`ValueError` where it is none."""
    told = orjson.loads(raw)
    try:
        parts = told["output"]["message"]["content"]
        finish = finish_of(told["stopReason"])
        message: dict[str, Any] = {"role": "assistant", "content": None}
        texts = [part["text"] for part in parts if "text" in part]
        if texts:
            message["content"] = "".join(texts)
        calls = [_call(part["toolUse"]) for part in parts if "toolUse" in part]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no Converse answer: {error!r}") from error
    if calls:
        message["tool_calls"] = calls
    made: dict[str, Any] = {
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
    }
    if isinstance(told.get("usage"), dict):
        made["usage"] = usage(told["usage"])
    return orjson.dumps(made)


def finish_of(reason: str) -> str:
    """OpenAI's `finish_reason`. One that is not known stays as it is: it is no ordinary end."""
    return FINISH.get(reason, reason)


def usage(told: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's `usage`: there the cache's part stands within the input, here beside it."""
    cached = told.get("cacheReadInputTokens") or 0
    given = told.get("inputTokens", 0) + cached + (told.get("cacheWriteInputTokens") or 0)
    made = told.get("outputTokens", 0)
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _messages(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """System texts, and turns: Converse wants them to alternate, so neighbours of one role become one turn."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _parts(message.get("content"))
            continue
        if role == "tool":
            result = {"toolUseId": message.get("tool_call_id"), "content": _parts(message.get("content"))}
            role, parts = "user", [{"toolResult": result}]
        elif role in ("user", "assistant"):
            parts = _parts(message.get("content"))
            parts += [{"toolUse": _use(call)} for call in message.get("tool_calls") or []]
        else:
            raise _refused("messages", f"a message of the role `{role}`")
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += parts
        else:
            turns.append({"role": role, "content": parts})
    return system, turns


def _parts(content: Any) -> list[dict[str, Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"text": content}]
    parts: list[dict[str, Any]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            parts.append({"text": part.get("text", "")})
        elif kind == "image_url":
            parts.append({"image": _image((part.get("image_url") or {}).get("url", ""))})
        else:
            raise _refused("messages", f"a content part of the type `{kind}`")
    return parts


def _image(url: str) -> dict[str, Any]:
    """An image that the request carries itself: Converse fetches nothing."""
    head, _, data = url.partition(",")
    kind = _IMAGES.get(head.removeprefix("data:").removesuffix(";base64"))
    if not head.endswith(";base64") or kind is None:
        raise _refused("messages", "an image that is not given as data of the type PNG, JPEG, GIF or WebP")
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise _refused("messages", "an image whose base64 is broken") from error
    return {"format": kind, "source": {"bytes": data}}


def _tools(tools: list[dict[str, Any]], choice: Any) -> dict[str, Any]:
    specs = []
    for tool in tools:
        function = tool.get("function") or {}
        spec = {"name": function.get("name"), "inputSchema": {"json": function.get("parameters") or {"type": "object"}}}
        if function.get("description"):
            spec["description"] = function["description"]
        specs.append({"toolSpec": spec})
    config: dict[str, Any] = {"tools": specs}
    if choice == "required":
        config["toolChoice"] = {"any": {}}
    elif isinstance(choice, dict):
        config["toolChoice"] = {"tool": {"name": (choice.get("function") or {}).get("name")}}
    elif choice == "auto":
        config["toolChoice"] = {"auto": {}}
    return config


def _use(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    try:
        given = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError as error:
        raise _refused("messages", "a tool call whose arguments are not JSON") from error
    return {"toolUseId": call.get("id"), "name": function.get("name"), "input": given}


def _call(use: dict[str, Any]) -> dict[str, Any]:
    arguments = orjson.dumps(use.get("input") or {}).decode()
    return {"id": use["toolUseId"], "type": "function", "function": {"name": use["name"], "arguments": arguments}}


def _refused(param: str, what: str) -> GatewayError:
    return GatewayError("parameter_unsupported", f"`{param}`: Bedrock's Converse does not take {what}", param=param)
