"""A chat completion's answer as OpenAI's Responses API gives it: a response and its items. Pure.

Fields are those of `openai.types.responses.Response` (3.52).
"""

from typing import Any

from .translation import details, malformed, only_choice, text_of, tool_calls_of

_PARAMS = {
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
_COMPLETE = ("stop", "eos", "tool_calls", "function_call")
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response(answer: Any, repeated: dict[str, Any], response_id: str) -> dict[str, Any]:
    """A whole answer. ``repeated`` is :func:`responses_request.echo`. Raises ``provider_malformed``."""
    choice = only_choice(answer)
    said = choice.get("message")
    if not isinstance(said, dict):
        raise malformed("its choice has no message")
    status, why = ending(choice.get("finish_reason"))
    output: list[dict[str, Any]] = []
    text, refusal = text_of(said.get("content")), said.get("refusal")
    if text or refusal:
        parts = [text_part(text)] if text else []
        parts += [refusal_part(refusal)] if refusal else []
        output.append(message_item(response_id, len(output), parts, status))
    for call_id, name, arguments in tool_calls_of(said):
        output.append(call_item(response_id, len(output), call_id, name, arguments, status))
    made = opening(repeated, response_id, answer.get("model"), answer.get("created"))
    return {
        **made,
        "status": status,
        "incomplete_details": None if why is None else {"reason": why},
        "output": output,
        "usage": usage(answer.get("usage")),
    }


def opening(repeated: dict[str, Any], response_id: str, model: Any, created: Any) -> dict[str, Any]:
    """A response that has just begun."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created if isinstance(created, int) else 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "usage": None,
        **repeated,
    }


def ending(finish: Any) -> tuple[str, str | None]:
    """Status of a response, and why it is incomplete. Raises ``provider_malformed`` for an unknown reason."""
    if finish in _COMPLETE:
        return "completed", None
    if finish in _INCOMPLETE:
        return "incomplete", _INCOMPLETE[finish]
    raise malformed(f"it ended for the unknown reason {finish!r}")


def usage(told: Any) -> dict[str, Any] | None:
    """Tokens in the Responses API's words; ``None`` where the provider told nothing."""
    if not isinstance(told, dict):
        return None
    given, made = told.get("prompt_tokens"), told.get("completion_tokens")
    total = given + made if isinstance(given, int) and isinstance(made, int) else None
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": details(told, "prompt_tokens_details", "cached_tokens"),
            "cache_write_tokens": details(told, "prompt_tokens_details", "cache_write_tokens"),
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": details(told, "completion_tokens_details", "reasoning_tokens")},
        "total_tokens": total,
    }


def error(body: Any) -> dict[str, Any]:
    """An error with its parameter named as in this API; the shape is the same."""
    told = body.get("error") if isinstance(body, dict) else None
    told = dict(told) if isinstance(told, dict) else {"message": "the request failed"}
    param = told.get("param")
    if param in _PARAMS:
        told["param"] = _PARAMS[param]
        told["message"] = str(told.get("message", "")).replace(f"`{param}`", f"`{_PARAMS[param]}`")
    return {"error": told}


def text_part(text: str) -> dict[str, Any]:
    """A part of a message: text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(text: str) -> dict[str, Any]:
    """A part of a message: why the model will not."""
    return {"type": "refusal", "refusal": text}


def message_item(response_id: str, index: int, parts: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """An item: what the assistant says."""
    return {
        "id": item_id("msg", response_id, index),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def call_item(response_id: str, index: int, call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """An item: a function that the assistant wants called."""
    return {
        "id": item_id("fc", response_id, index),
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def item_id(kind: str, response_id: str, index: int) -> str:
    """The name of an item: of its response, and where it stands there."""
    return f"{kind}_{response_id.partition('_')[2]}_{index}"
