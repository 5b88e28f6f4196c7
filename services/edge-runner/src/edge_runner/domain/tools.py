"""Tool calls that hold: the functions become one JSON schema that the engine must follow, its answer becomes calls.

The model is told to write ``{"tool_calls": [{"name", "arguments"}]}``, or ``{"answer": text}`` where it may answer
itself. The schema makes anything else impossible, so this works with templates that know nothing of tools.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_CALLS = 8
_ANSWER_BEGINS = re.compile(r'\s*\{\s*"answer"\s*:\s*"')


class ToolsRefused(ValueError):
    """The request's tools cannot be served. ``param`` names the field."""

    def __init__(self, param: str, text: str) -> None:
        super().__init__(text)
        self.param = param


@dataclass(frozen=True)
class Function:
    """A function that may be called. ``parameters`` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A call that the model made."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Offer:
    """The functions of a request, and what the model may do: answer itself, call one, call several."""

    functions: tuple[Function, ...]
    may_answer: bool
    parallel: bool

    def schema(self) -> dict[str, Any]:
        """The JSON schema of the engine's whole output."""
        definitions = {f"f{number}": _moved(one.parameters, f"f{number}") for number, one in enumerate(self.functions)}
        calls = [
            _record(name={"const": one.name}, arguments={"$ref": f"#/$defs/f{number}"})
            for number, one in enumerate(self.functions)
        ]
        most = _MOST_CALLS if self.parallel else 1
        calling = _record(
            tool_calls={
                "type": "array",
                "minItems": 1,
                "maxItems": most,
                "items": calls[0] if len(calls) == 1 else {"anyOf": calls},
            }
        )
        whole = {"anyOf": [_record(answer={"type": "string"}), calling]} if self.may_answer else calling
        return {**whole, "$defs": definitions}

    def instruction(self) -> str:
        """What the model is told."""
        listed = [
            {"name": one.name, "description": one.description, "parameters": one.parameters} for one in self.functions
        ]
        how = 'Call functions by writing only JSON: {"tool_calls": [{"name": ..., "arguments": {...}}]}.'
        if self.may_answer:
            how += ' If no function helps, answer with {"answer": "..."}.'
        return f"You can call these functions:\n{json.dumps(listed, ensure_ascii=False)}\n{how}"


def offer(tools: Sequence[Mapping[str, Any]], choice: Any, parallel: bool) -> Offer | None:
    """What a request offers; ``None`` for ``tool_choice`` "none" or no tools. Raises :class:`ToolsRefused`.

    ``choice`` is ``None`` (auto), ``"auto"``, ``"none"``, ``"required"`` or ``{"type": "function", "function":
    {"name"}}``.
    """
    functions = tuple(_function(number, tool) for number, tool in enumerate(tools))
    names = [one.name for one in functions]
    if len(set(names)) < len(names):
        raise ToolsRefused("tools", "two tools have the same name")
    if choice in (None, "auto", "none"):
        return Offer(functions, True, parallel) if functions and choice != "none" else None
    if not functions:
        raise ToolsRefused("tool_choice", "tool_choice without tools")
    if choice == "required":
        return Offer(functions, False, parallel)
    named = choice.get("function", {}).get("name") if isinstance(choice, Mapping) else None
    chosen = tuple(one for one in functions if one.name == named)
    if not chosen:
        raise ToolsRefused("tool_choice", f"tool_choice names {named!r}; the tools are: {', '.join(names)}")
    return Offer(chosen, False, False)


def read(output: str) -> str | tuple[Call, ...]:
    """The engine's whole output: an answer, or calls. Raises ``ValueError`` where it is neither."""
    document = json.loads(output)
    if isinstance(document, dict) and isinstance(document.get("answer"), str):
        return str(document["answer"])
    try:
        return tuple(_read_call(call) for call in document["tool_calls"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"neither an answer nor calls: {error!r}") from error


def _read_call(call: Mapping[str, Any]) -> Call:
    if not isinstance(call["arguments"], Mapping):  # an empty list would do for a dict
        raise TypeError("arguments are no object")
    return Call(str(call["name"]), call["arguments"])


def answer_so_far(output: str) -> str:
    """The part of an unfinished ``{"answer": ...}`` that can be shown; empty where it is none, or not yet."""
    begin = _ANSWER_BEGINS.match(output)
    if begin is None:
        return ""
    raw = output[begin.end() :]
    closing = re.search(r'(?<!\\)(?:\\\\)*"', raw)
    if closing:
        raw = raw[: closing.end() - 1]
    for back in range(min(13, len(raw) + 1)):  # an escape that is cut off has at most 11 characters after its first
        try:
            shown: str = json.loads(f'"{raw[: len(raw) - back]}"', strict=False)
        except ValueError:
            continue
        if shown and "\ud800" <= shown[-1] <= "\udfff":
            continue
        return shown
    return ""


def told(messages: Iterable[Mapping[str, Any]], instruction: str | None) -> list[dict[str, Any]]:
    """The messages as a template without tools can render them, with the instruction in the system message.

    Earlier calls and their results are written in the form that the instruction asks for.
    """
    names: dict[str, str] = {}
    plain: list[dict[str, Any]] = []
    for message in messages:
        if calls := message.get("tool_calls"):
            names |= {call["id"]: call["function"]["name"] for call in calls}
            plain.append({"role": "assistant", "content": _written(calls)})
        elif message["role"] == "tool":
            name = names.get(str(message.get("tool_call_id")), "the function")
            plain.append({"role": "user", "content": f"Result of {name}: {message.get('content')}"})
        else:
            plain.append(dict(message))
    if instruction is None:
        return plain
    if plain and plain[0]["role"] in ("system", "developer"):
        first = {**plain[0], "content": f"{plain[0].get('content')}\n\n{instruction}"}
        return [first, *plain[1:]]
    return [{"role": "system", "content": instruction}, *plain]


def _written(calls: Sequence[Mapping[str, Any]]) -> str:
    made = []
    for call in calls:
        arguments = call["function"]["arguments"]
        made.append(
            {
                "name": call["function"]["name"],
                "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments,
            }
        )
    return json.dumps({"tool_calls": made}, ensure_ascii=False)


def _function(number: int, tool: Mapping[str, Any]) -> Function:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        raise ToolsRefused(f"tools.{number}", "only tools of type function are served")
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ToolsRefused(f"tools.{number}.function.name", "1 to 64 letters, digits, _ or -")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping) or parameters.get("type") != "object":
        raise ToolsRefused(f"tools.{number}.function.parameters", "must be a JSON schema of type object")
    return Function(name, str(function.get("description") or ""), parameters)


def _record(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _moved(schema: Any, name: str) -> Any:
    """The schema with its local references pointing to where it stands now: below ``$defs/name``."""
    if isinstance(schema, Mapping):
        return {
            key: f"#/$defs/{name}{value[1:]}"
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, name)
            for key, value in schema.items()
        }
    return [_moved(one, name) for one in schema] if isinstance(schema, list) else schema
