"""A request of OpenAI's Responses API as a chat completion, losslessly or refused by name. Pure.

Read off the API's own client (`openai.types.responses.ResponseCreateParams`, 3.52). The gateway keeps no conversations:
what lives on a server (`previous_response_id`, `conversation`, hosted tools, stored prompts) is refused.
docs/reference/responses-api.md lists what is what.
"""

from collections.abc import Iterator
from typing import Any

from .translation import Drop, Fields, invalid, untranslatable

_SAME = {
    "temperature": ((int, float), "a number"),
    "top_p": ((int, float), "a number"),
    "parallel_tool_calls": (bool, "true or false"),
    "user": (str, "a string"),
    "safety_identifier": (str, "a string"),
    "prompt_cache_key": (str, "a string"),
    "service_tier": (str, "a string"),
}
_STATELESS = "the gateway keeps no conversations"


def to_chat(body: Any, drop: Drop) -> dict[str, Any]:
    """The chat completion body of a Responses body. Raises ``untranslatable_field``, ``invalid_parameter``,
    ``missing_parameter``; ``param`` is the field's path."""
    fields = Fields(body, "", drop)
    chat: dict[str, Any] = {"model": fields.text("model")}
    chat["messages"] = [*_instructions(fields), *_input(fields)]
    limit = fields.optional("max_output_tokens", int, "an integer")
    if limit is not None:
        chat["max_tokens"] = limit
    for name, (kind, expected) in _SAME.items():
        value = fields.optional(name, kind, expected)  # type: ignore[arg-type]
        if value is not None:
            chat[name] = value
    if fields.optional("stream", bool, "true or false"):
        chat["stream"], chat["stream_options"] = True, {"include_usage": True}
    options = fields.object("stream_options")
    if options is not None:
        options.only("include_obfuscation", (False,), "the gateway adds no obfuscation to a stream")
        options.end()
    _text(fields, chat)
    _reasoning(fields, chat)
    _tools(fields, chat)
    fields.take("metadata")  # Comes back in the response, and goes nowhere else: nothing is kept.
    fields.only("store", (False,), _STATELESS)
    fields.only("background", (False,), _STATELESS, droppable=False)
    fields.only("previous_response_id", (), _STATELESS, droppable=False)
    fields.only("conversation", (), _STATELESS, droppable=False)
    fields.only("truncation", ("disabled",), "providers refuse what is too long, they leave nothing out")
    fields.only("include", ([],), "a chat completion has nothing of the kind to include")
    fields.only("top_logprobs", (0,), "a response's log-probabilities have another form than a chat completion's")
    fields.only("max_tool_calls", (), "it counts calls of hosted tools, which providers do not have")
    provider = fields.take("provider")
    if provider is not None:
        chat["provider"] = provider
    fields.end()
    return chat


def _instructions(fields: Fields) -> Iterator[dict[str, Any]]:
    text = fields.optional("instructions", str, "a string")
    if text is not None:
        yield {"role": "system", "content": text}


def _input(fields: Fields) -> list[dict[str, Any]]:
    given = fields.take("input")
    if given is None:
        raise fields.missing("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise invalid("input", "a string or a list of items")
    messages: list[dict[str, Any]] = []
    for index, value in enumerate(given):
        item = Fields(value, f"input[{index}]", fields.drop)
        kind = item.take("type") or "message"
        if kind == "message":
            messages.append(_message(item))
        elif kind == "function_call":
            _add_call(messages, item)
        elif kind == "function_call_output":
            messages.append(_result(item))
        elif kind != "reasoning" or "reasoning" not in fields.drop:
            drop = "reasoning" if kind == "reasoning" else None
            raise untranslatable(item.at("type"), f"`{kind}` items have no counterpart", drop=drop)
        else:
            continue
        item.take("id")  # Names of items; nothing refers to them where nothing is kept.
        item.only("status", ("completed", "incomplete", "in_progress"), "not a status of an item")
        item.end()
    return messages


def _message(item: Fields) -> dict[str, Any]:
    role = item.text("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise invalid(item.at("role"), "user, assistant, system or developer")
    content = item.take("content")
    # The API gives developers' messages the place that system messages have; not every provider knows the new name.
    said: dict[str, Any] = {"role": "system" if role == "developer" else role}
    if isinstance(content, str):
        return {**said, "content": content}
    if not isinstance(content, list):
        raise invalid(item.at("content"), "a string or a list of parts")
    parts = [_part(Fields(value, f"{item.at('content')}[{i}]", item.drop), role) for i, value in enumerate(content)]
    refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
    if refusals:
        if len(parts) > 1:
            raise untranslatable(item.at("content"), "a refusal beside other parts has no counterpart")
        return {**said, "content": None, "refusal": refusals[0]}
    return {**said, "content": _plain(parts)}


def _part(part: Fields, role: str) -> dict[str, Any]:
    kind = part.text("type")
    made: dict[str, Any]
    if kind == "input_text" or (kind == "output_text" and role == "assistant"):
        made = {"type": "text", "text": part.text("text")}
        part.only("annotations", ([],), "annotations have no counterpart")
        part.only("logprobs", ([],), "log-probabilities of earlier answers have no counterpart")
    elif kind == "input_image" and role == "user":
        url = part.take("image_url")
        if not isinstance(url, str):
            raise untranslatable(part.at("file_id"), "files lie in OpenAI's own store; give `image_url`")
        image = {"url": url}
        detail = part.optional("detail", str, "a string")
        if detail is not None:
            image["detail"] = detail
        made = {"type": "image_url", "image_url": image}
    elif kind == "refusal" and role == "assistant":
        made = {"type": "refusal", "refusal": part.text("refusal")}
    else:
        raise untranslatable(part.at("type"), f"`{kind}` has no counterpart in a message of the {role}")
    part.end()
    return made


def _add_call(messages: list[dict[str, Any]], item: Fields) -> None:
    """Calls are items of their own there; here they belong to the assistant's message before them."""
    function = {"name": item.text("name"), "arguments": item.text("arguments")}
    call = {"id": item.text("call_id"), "type": "function", "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _result(item: Fields) -> dict[str, Any]:
    output = item.take("output")
    if isinstance(output, list):
        output = _plain(
            [_part(Fields(v, f"{item.at('output')}[{i}]", item.drop), "tool") for i, v in enumerate(output)]
        )
    elif not isinstance(output, str):
        raise invalid(item.at("output"), "a string or a list of parts")
    return {"role": "tool", "tool_call_id": item.text("call_id"), "content": output}


def _plain(parts: list[dict[str, Any]]) -> Any:
    """One text is a string: not every provider takes parts."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _text(fields: Fields, chat: dict[str, Any]) -> None:
    text = fields.object("text")
    if text is None:
        return
    verbosity = text.optional("verbosity", str, "a string")
    if verbosity is not None:
        chat["verbosity"] = verbosity
    form = text.object("format")
    text.end()
    if form is None:
        return
    kind = form.text("type")
    if kind == "json_schema":
        made: dict[str, Any] = {"name": form.text("name"), "schema": form.take("schema")}
        if not isinstance(made["schema"], dict):
            raise form.missing("schema")
        for name, of, expected in (("description", str, "a string"), ("strict", bool, "true or false")):
            value = form.optional(name, of, expected)
            if value is not None:
                made[name] = value
        chat["response_format"] = {"type": "json_schema", "json_schema": made}
    elif kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind != "text":
        raise invalid(form.at("type"), "text, json_schema or json_object")
    form.end()


def _reasoning(fields: Fields, chat: dict[str, Any]) -> None:
    reasoning = fields.object("reasoning")
    if reasoning is None:
        return
    effort = reasoning.optional("effort", str, "a string")
    if effort is not None:
        chat["reasoning_effort"] = effort
    reasoning.end()


def _tools(fields: Fields, chat: dict[str, Any]) -> None:
    tools = []
    for tool in fields.each("tools"):
        kind = tool.text("type")
        if kind != "function":
            raise untranslatable(tool.at("type"), f"`{kind}` is run by OpenAI; providers have functions only")
        function: dict[str, Any] = {"name": tool.text("name")}
        for name, of, expected in (
            ("description", str, "a string"),
            ("parameters", dict, "an object"),
            ("strict", bool, "true or false"),
        ):
            value = tool.optional(name, of, expected)
            if value is not None:
                function[name] = value
        tool.only("defer_loading", (False,), "there is no tool search")
        tool.only("async", (False,), "calls are answered in turn")
        tool.end()
        tools.append({"type": "function", "function": function})
    if tools:
        chat["tools"] = tools
    choice = fields.take("tool_choice")
    if isinstance(choice, dict):
        named = Fields(choice, "tool_choice", fields.drop)
        kind = named.text("type")
        if kind != "function":
            raise untranslatable("tool_choice.type", f"`{kind}` has no counterpart")
        choice = {"type": "function", "function": {"name": named.text("name")}}
        named.end()
    elif choice not in (None, "auto", "none", "required"):
        raise invalid("tool_choice", "auto, none, required or a function")
    if choice is not None:
        chat["tool_choice"] = choice


def echo(body: dict[str, Any]) -> dict[str, Any]:
    """What a response repeats of its request, with the API's defaults; read only after :func:`to_chat` took it."""
    return {
        "background": False,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
        "safety_identifier": body.get("safety_identifier"),
        "store": False,
        "temperature": body.get("temperature"),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": "disabled",
        "user": body.get("user"),
    }
