"""Structured output and tool calls of a chat: what the engine is told to follow, and whether its answer did."""

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ..domain import tools
from ..domain.honoured import refusal
from ..schemas import BadSchema, check_schema, violation
from .errors import ApiError
from .requests import ChatRequest

Choice = dict[str, Any]


def offered(asked: ChatRequest) -> tools.Offer | None:
    """The tools of a request. Raises :class:`ApiError` for those that cannot be served."""
    try:
        offer = tools.offer(asked.tools or (), asked.tool_choice, asked.parallel_tool_calls)
    except tools.ToolsRefused as error:
        raise ApiError(400, "invalid_tools", f"{error.param}: {error}", param=error.param) from error
    for number, function in enumerate(offer.functions if offer else ()):
        _check(function.parameters, f"tools.{number}.function.parameters")
    if offer and asked.wants_json:
        raise ApiError(
            400, "unsupported_parameter", "response_format: not together with tools", param="response_format"
        )
    if offer and asked.logprobs:
        raise _not_with_tools("logprobs")
    return offer


def response_format(asked: ChatRequest, offer: tools.Offer | None) -> dict[str, Any] | None:
    """What the engine must follow; ``None`` for free text. Raises :class:`ApiError` for a bad schema."""
    if offer:
        return {"type": "json_schema", "json_schema": {"name": "calls", "schema": offer.schema(), "strict": True}}
    if not asked.wants_json or asked.response_format is None:
        return None
    if asked.response_format.json_schema is not None:
        _check(asked.response_format.json_schema.schema_, "response_format.json_schema.schema", whole_by_ref=False)
    return asked.response_format.model_dump(by_alias=True, exclude_none=True)


def checked(asked: ChatRequest, offer: tools.Offer | None, choice: Choice) -> Choice:
    """A whole choice that keeps what was promised. Raises :class:`ApiError` where the model did not.

    What was cut off at the token limit stays ``length``: an unfinished call is no call.
    """
    if offer is None:
        if asked.wants_json and choice["finish_reason"] == "stop":
            _hold(asked, choice["message"].get("content") or "")
        return choice
    output = choice["message"].get("content") or ""
    if choice["finish_reason"] != "stop":
        return choice | {"message": {"role": "assistant", "content": tools.answer_so_far(output) or None}}
    read = _read(offer, output)
    if isinstance(read, str):
        return choice | {"message": {"role": "assistant", "content": read}}
    calls = [_call(call) for call in read]
    return choice | {
        "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": None, "tool_calls": calls},
    }


async def checked_chunks(
    asked: ChatRequest, offer: tools.Offer | None, chunks: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[dict[str, Any]]:
    """Chunks that keep what was promised: text as it comes, calls when they are whole, an error instead of a lie."""
    output = shown = ""
    async for chunk in chunks:
        for choice in chunk.get("choices", ()):
            delta = choice.get("delta", {})
            output += delta.get("content") or ""
            if offer is None:
                if asked.wants_json and choice.get("finish_reason") == "stop":
                    _hold(asked, output)
                continue
            if delta.get("content"):
                so_far = tools.answer_so_far(output)
                delta["content"], shown = so_far[len(shown) :], so_far
            if choice.get("finish_reason") == "stop":
                _finish(offer, output, shown, choice)
        if _says_something(chunk):
            yield chunk


def _finish(offer: tools.Offer, output: str, shown: str, choice: Choice) -> None:
    read = _read(offer, output)
    if isinstance(read, str):
        choice["delta"] = {"content": read[len(shown) :]} if len(read) > len(shown) else {}
        return
    choice["delta"] = {"tool_calls": [{"index": index} | _call(call) for index, call in enumerate(read)]}
    choice["finish_reason"] = "tool_calls"


def _says_something(chunk: Mapping[str, Any]) -> bool:
    if not chunk.get("choices"):
        return True
    return any(choice.get("finish_reason") or choice.get("delta") != {"content": ""} for choice in chunk["choices"])


def _read(offer: tools.Offer, output: str) -> str | tuple[tools.Call, ...]:
    try:
        read = tools.read(output)
    except ValueError as error:
        raise ApiError(502, "tool_call_invalid", f"the model wrote no call: {error}") from error
    schemas = {function.name: function.parameters for function in offer.functions}
    for call in () if isinstance(read, str) else read:
        wrong = violation(schemas[call.name], call.arguments) if call.name in schemas else "no such function"
        if wrong:
            raise ApiError(502, "tool_call_invalid", f"the model called {call.name} wrongly: {wrong}")
    return read


def _hold(asked: ChatRequest, content: str) -> None:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise ApiError(502, "structured_output_invalid", f"the model wrote no JSON: {error}") from error
    wanted = asked.response_format.json_schema if asked.response_format else None
    wrong = violation(wanted.schema_, value) if wanted else None
    if wrong:
        raise ApiError(502, "structured_output_invalid", f"the answer breaks the schema: {wrong}")


def _check(schema: Mapping[str, Any], where: str, *, whole_by_ref: bool = True) -> None:
    try:
        check_schema(schema)
    except BadSchema as error:
        raise ApiError(400, "invalid_schema", f"{where}: {error}", param=where) from error
    if no := refusal(schema, whole_by_ref=whole_by_ref):
        raise ApiError(400, "unsupported_schema", f"{where}.{no}", param=f"{where}.{no.place}", keyword=no.keyword)


def _call(call: tools.Call) -> dict[str, Any]:
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
    }


def _not_with_tools(param: str) -> ApiError:
    return ApiError(400, "unsupported_parameter", f"{param}: not together with tools", param=param)
