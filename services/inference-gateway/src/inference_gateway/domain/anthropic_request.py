"""A request of Anthropic's Messages API as a chat completion, losslessly or refused by name. Pure.

Read off the API's own client (`anthropic.types.MessageCreateParams`, 2.11): system texts, text and image blocks, tools
and their results, structured output, effort, sampling, end user. docs/reference/messages-api.md lists what is what.
"""

import json
from collections.abc import Iterator
from typing import Any

from .anthropic_tools import add_output, add_tools
from .translation import Drop, Fields, invalid, untranslatable


def to_chat(body: Any, drop: Drop) -> dict[str, Any]:
    """The chat completion body of a Messages body. Raises ``untranslatable_field``, ``invalid_parameter``,
    ``missing_parameter``; ``param`` is the field's path."""
    fields = Fields(body, "", drop)
    chat: dict[str, Any] = {"model": fields.text("model")}
    limit = fields.optional("max_tokens", int, "an integer")
    if limit is None:
        raise fields.missing("max_tokens")
    chat["max_tokens"] = limit
    chat["messages"] = [*_system(fields), *_messages(fields)]
    stream = fields.optional("stream", bool, "true or false")
    if stream:
        chat["stream"], chat["stream_options"] = True, {"include_usage": True}
    for name in ("temperature", "top_p"):
        value = fields.optional(name, (int, float), "a number")
        if value is not None:
            chat[name] = value
    stops = fields.optional("stop_sequences", list, "a list of strings")
    if stops:
        if "stop_sequence" not in drop:
            why = "providers do not tell which stop sequence ended an answer, and the answer's `stop_sequence` would"
            raise untranslatable("stop_sequences", f"{why} be wrong", drop="stop_sequence")
        chat["stop"] = stops
    metadata = fields.object("metadata")
    if metadata is not None:
        user = metadata.optional("user_id", str, "a string")
        metadata.end()
        if user is not None:
            chat["user"] = user
    add_tools(fields, chat)
    add_output(fields, chat)
    thinking = fields.take("thinking")
    if thinking is not None and thinking != {"type": "disabled"} and "thinking" not in drop:
        why = "providers neither sign their thinking nor take it back; `output_config.effort` is carried"
        raise untranslatable("thinking", why, drop="thinking")
    fields.only("service_tier", (), "service tiers of Anthropic's own capacity")
    fields.only("speed", ("standard",), "speeds of Anthropic's own capacity")
    provider = fields.take("provider")
    if provider is not None:
        chat["provider"] = provider
    fields.end()
    return chat


def _system(fields: Fields) -> Iterator[dict[str, Any]]:
    system = fields.take("system")
    if system is not None:
        yield {"role": "system", "content": _texts(system, "system", fields.drop)}


def _messages(fields: Fields) -> Iterator[dict[str, Any]]:
    messages = list(fields.each("messages"))
    if not messages:
        raise fields.missing("messages")
    role = None
    for index, message in enumerate(messages):
        role, content = message.text("role"), message.take("content")
        message.end()
        at = f"messages[{index}].content"
        if not isinstance(content, str | list) or content == []:
            raise invalid(at, "a string or a list of blocks")
        if role == "user":
            yield from _user(content, at, fields.drop)
        elif role == "assistant":
            yield _assistant(content, at, fields.drop)
        elif role == "system":
            yield {"role": "system", "content": _texts(content, at, fields.drop)}
        else:
            raise invalid(f"messages[{index}].role", "user, assistant or system")
    if role == "assistant":
        path = f"messages[{len(messages) - 1}].role"
        raise untranslatable(path, "providers answer after an assistant's message, they do not continue it (prefill)")


def _user(content: str | list[Any], at: str, drop: Drop) -> Iterator[dict[str, Any]]:
    """Results of tools, each a message of its own, then what the user says."""
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    parts: list[dict[str, Any]] = []
    for index, item in enumerate(content):
        block = Fields(item, f"{at}[{index}]", drop)
        kind = block.text("type")
        if kind == "tool_result":
            if parts:
                raise invalid(block.at("type"), "before text and images: results of tools come first")
            yield {"role": "tool", "tool_call_id": block.text("tool_use_id"), "content": _result(block)}
        elif kind == "text":
            parts.append({"type": "text", "text": block.text("text")})
        elif kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": _image(block)}})
        else:
            raise untranslatable(block.at("type"), f"`{kind}` blocks have no counterpart")
        block.end()
    if parts:
        yield {"role": "user", "content": _plain(parts)}


def _assistant(content: str | list[Any], at: str, drop: Drop) -> dict[str, Any]:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    texts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for index, item in enumerate(content):
        block = Fields(item, f"{at}[{index}]", drop)
        kind = block.text("type")
        if kind in ("thinking", "redacted_thinking"):
            if "thinking" not in drop:
                raise untranslatable(block.at("type"), "providers do not take thinking back", drop="thinking")
            continue
        if kind == "text":
            if calls:
                raise untranslatable(block.at("type"), "text after a tool's call has no counterpart")
            texts.append({"type": "text", "text": block.text("text")})
            if block.take("citations"):
                raise block.refuse("citations", "citations have no counterpart")
        elif kind == "tool_use":
            given = block.object("input")
            if given is None:
                raise block.missing("input")
            caller = block.take("caller")
            if caller is not None and caller != {"type": "direct"}:
                raise block.refuse("caller", "only direct calls have a counterpart")
            arguments = json.dumps(item["input"], ensure_ascii=False)
            function = {"name": block.text("name"), "arguments": arguments}
            calls.append({"id": block.text("id"), "type": "function", "function": function})
        else:
            raise untranslatable(block.at("type"), f"`{kind}` blocks have no counterpart")
        block.end()
    message: dict[str, Any] = {"role": "assistant", "content": _plain(texts) if texts else None}
    if calls:
        message["tool_calls"] = calls
    return message


def _result(block: Fields) -> Any:
    """A tool's result. That it failed has no field in a chat completion: it is told to the model in so many words."""
    content = block.take("content")
    failed = block.optional("is_error", bool, "true or false")
    given = "" if content is None else _texts(content, block.at("content"), block.drop)
    if not failed:
        return given
    text = given if isinstance(given, str) else "\n".join(part["text"] for part in given)
    return json.dumps({"is_error": True, "content": text}, ensure_ascii=False)


def _texts(content: Any, at: str, drop: Drop) -> Any:
    """A text, or blocks of nothing but text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(at, "a string or a list of text blocks")
    parts = []
    for index, item in enumerate(content):
        block = Fields(item, f"{at}[{index}]", drop)
        kind = block.text("type")
        if kind != "text":
            raise untranslatable(block.at("type"), f"only text has a counterpart here, not `{kind}`")
        parts.append({"type": "text", "text": block.text("text")})
        if block.take("citations"):
            raise block.refuse("citations", "citations have no counterpart")
        block.end()
    return _plain(parts)


def _plain(parts: list[dict[str, Any]]) -> Any:
    """One text is a string: not every provider takes parts."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _image(block: Fields) -> str:
    source = block.object("source")
    if source is None:
        raise block.missing("source")
    kind = source.text("type")
    if kind == "base64":
        url = f"data:{source.text('media_type')};base64,{source.text('data')}"
    elif kind == "url":
        url = source.text("url")
    else:
        raise untranslatable(source.at("type"), f"`{kind}` images lie in Anthropic's own store")
    source.end()
    return url
