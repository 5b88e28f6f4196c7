"""What a Messages request says of tools and of the answer's form, as a chat completion says it. Pure."""

from typing import Any

from .translation import Fields, invalid, untranslatable

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def add_tools(fields: Fields, chat: dict[str, Any]) -> None:
    """Functions, and which of them the model may call."""
    tools = []
    for tool in fields.each("tools"):
        kind = tool.optional("type", str, "a string")
        if kind not in (None, "custom"):
            raise untranslatable(tool.at("type"), f"`{kind}` runs at Anthropic; providers have functions only")
        schema = tool.take("input_schema")
        if not isinstance(schema, dict):
            raise tool.missing("input_schema")
        function: dict[str, Any] = {"name": tool.text("name"), "parameters": schema}
        description = tool.optional("description", str, "a string")
        if description is not None:
            function["description"] = description
        strict = tool.optional("strict", bool, "true or false")
        if strict is not None:
            function["strict"] = strict
        tool.only("defer_loading", (False,), "there is no tool search")
        tool.only("eager_input_streaming", (False,), "providers stream arguments as they do")
        tool.only("allowed_callers", (["direct"],), "there is no code execution that calls tools")
        tool.end()
        tools.append({"type": "function", "function": function})
    if tools:
        chat["tools"] = tools
    choice = fields.object("tool_choice")
    if choice is None:
        return
    kind = choice.text("type")
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.text("name")}}
    elif kind in _CHOICES:
        chat["tool_choice"] = _CHOICES[kind]
    else:
        raise invalid("tool_choice.type", "auto, any, tool or none")
    if choice.optional("disable_parallel_tool_use", bool, "true or false"):
        chat["parallel_tool_calls"] = False
    choice.end()


def add_output(fields: Fields, chat: dict[str, Any]) -> None:
    """Structured output and effort; `output_format` is where the former stood while it was a beta."""
    config = fields.object("output_config")
    shape = fields.object("output_format")
    if config is not None:
        effort = config.optional("effort", str, "a string")
        if effort is not None:
            chat["reasoning_effort"] = effort
        shape = config.object("format") or shape
        config.end()
    if shape is None:
        return
    if shape.text("type") != "json_schema":
        raise invalid(shape.at("type"), "json_schema")
    schema = shape.take("schema")
    if not isinstance(schema, dict):
        raise shape.missing("schema")
    shape.end()
    form = {"name": "output", "schema": schema, "strict": True}
    chat["response_format"] = {"type": "json_schema", "json_schema": form}
