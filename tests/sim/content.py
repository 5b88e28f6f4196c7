"""What the simulated models say, and how many tokens it is: a word is a token, and a prompt has three more."""

import base64
import json
import math
import re
import struct
from typing import Any

from .faults import Fault

_WORDS = "the jury has read the evidence and finds that this tool does what its page says".split()  # noqa: SIM905
_COUNT = re.compile(r"words=(\d+)")


def prompt_of(body: dict[str, Any], endpoint: str) -> str:
    """All text of a request's prompt."""
    if endpoint == "completions":
        prompt = body["prompt"]
        return " ".join(str(part) for part in prompt) if isinstance(prompt, list) else str(prompt)
    if endpoint == "embeddings":
        return " ".join(str(text) for text in texts_of(body))
    return "\n".join(_text(message.get("content") or "") for message in body["messages"])


def texts_of(body: dict[str, Any]) -> list[Any]:
    """The texts to embed, one or many."""
    return body["input"] if isinstance(body["input"], list) else [body["input"]]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content)


def answer(prompt: str, body: dict[str, Any]) -> list[str]:
    """The words of an answer: as many as the prompt asks for, or a document of the asked schema."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 10_000
    shape = body.get("response_format") or {}
    if shape.get("type") == "json_schema":
        schema = shape.get("schema") or shape["json_schema"]["schema"]
        return json.dumps(_instance(schema)).split(" ")[:limit]
    if shape.get("type") == "json_object":
        return ["{}"]
    found = _COUNT.search(prompt)
    count = min(int(found.group(1)) if found else len(_WORDS), limit)
    return [_WORDS[index % len(_WORDS)] for index in range(count)]


def finish(body: dict[str, Any], words: list[str]) -> str:
    """Why the answer ends."""
    if calls_tool(body):
        return "tool_calls"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return "length" if limit is not None and len(words) >= limit else "stop"


def calls_tool(body: dict[str, Any]) -> bool:
    """Whether the answer calls a tool: it does where there is one, unless it may not, or one has answered already."""
    told = body["messages"][-1].get("role") == "tool" if body.get("messages") else False
    return bool(body.get("tools")) and body.get("tool_choice") != "none" and not told


def tool_call(body: dict[str, Any]) -> dict[str, Any]:
    """The call of the first tool, with arguments of its schema."""
    function = body["tools"][0]["function"]
    arguments = json.dumps(_instance(function.get("parameters") or {"type": "object"}))
    return {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _instance(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: _instance(of) for name, of in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_instance(schema.get("items") or {})]
    return {"string": "jury", "integer": 1, "number": 0.5, "boolean": True}.get(str(kind))


def tokens(text: str) -> int:
    """Tokens of a prompt."""
    return len(text.split()) + 3


def cached(prompt: str) -> int:
    """How many of a prompt's tokens come from the cache: half of them, if it says so."""
    return tokens(prompt) // 2 if "cached" in prompt else 0


def usage(counts: tuple[int, int, int], fault: Fault | None) -> dict[str, Any]:
    """OpenAI's `usage` of (input, of these cached, output)."""
    given, hit, made = counts
    if fault is Fault.WRONG_USAGE:
        made = -made
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": hit},
    }


def vector(body: dict[str, Any]) -> Any:
    """An embedding, as floats or as base64 of little-endian 32-bit floats."""
    numbers = [0.1, 0.2] * ((body.get("dimensions") or 2) // 2)
    if body.get("encoding_format") == "base64":
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return numbers


def logprobs(body: dict[str, Any], words: list[str], *, chat: bool, fault: Fault | None) -> dict[str, Any] | None:
    """Log-probabilities in the shape of the route."""
    asked = body.get("logprobs")
    if asked is None or asked is False:
        return None
    count = (body.get("top_logprobs") or 0) if chat else int(asked)
    if fault is Fault.FEWER_LOGPROBS:
        count = min(count, 5)
    if chat:
        return {"content": [_token(word, count) for word in words], "refusal": None}
    return {
        "tokens": words,
        "token_logprobs": [-0.1] * len(words),
        "top_logprobs": [{f"{word}{rank}": -math.log(rank + 2) for rank in range(count)} for word in words],
        "text_offset": [0] * len(words),
    }


def _token(word: str, count: int) -> dict[str, Any]:
    top = [{"token": f"{word}{rank}", "logprob": -0.1 - rank, "bytes": None} for rank in range(count)]
    return {"token": word, "logprob": -0.1, "bytes": None, "top_logprobs": top}
