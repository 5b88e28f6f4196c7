"""What a request may ask of a provider. It refuses what the real one refuses, in its words."""

import json
from typing import Any

from .errors import Refused, unsupported
from .world import Provider

_NAMES = (
    "model messages prompt input stream stream_options max_tokens max_completion_tokens temperature top_p n stop seed "
    "logprobs top_logprobs logit_bias presence_penalty frequency_penalty tools tool_choice parallel_tool_calls "
    "response_format user echo best_of suffix encoding_format dimensions"
)
COMMON = frozenset(_NAMES.split())
"""What an OpenAI-compatible API is expected to know."""


def parse(raw: bytes) -> dict[str, Any]:
    """The body. Raises :class:`Refused`."""
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refused(400, "could not parse the body", "body") from error
    if not isinstance(body, dict):
        raise Refused(400, "the body is no object", "body")
    return body


_NOT_OF_REASONING = COMMON & {
    "max_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
}
"""What reasoning models refuse."""


def check(provider: Provider, body: dict[str, Any], endpoint: str) -> None:
    """Refuse what this provider does not take. Raises :class:`Refused`."""
    models = provider.embeds if endpoint == "embeddings" else provider.models
    if endpoint == "completions" and not provider.completions:
        raise Refused(404, "Invalid URL (POST /completions)")
    if body.get("model") not in models:
        raise Refused(404, f"The model `{body.get('model')}` does not exist", "model", "model_not_found")
    for name, value in body.items():
        known = name in COMMON or name in provider.takes
        if not known and provider.unknown == "reject":
            raise unsupported(provider, name, value)
        if name in provider.rejects and value is not None and not (name == "n" and value == 1):
            raise unsupported(provider, name, value)
        if body["model"] in provider.reasoning and name in _NOT_OF_REASONING and value is not None:
            raise unsupported(provider, name, value)
        allowed = provider.only.get(name)
        if allowed and value is not None and (value if isinstance(value, str) else "object") not in allowed:
            raise Refused(400, f"`{name}` must be one of {', '.join(allowed)}", name)
    _check_stream(provider, body)
    if endpoint == "chat":
        _check_messages(provider, body)
        _check_schema(provider, body)
    asked = body.get("top_logprobs") if endpoint == "chat" else body.get("logprobs")
    if isinstance(asked, int) and not isinstance(asked, bool) and asked > provider.max_logprobs:
        raise Refused(400, f"at most {provider.max_logprobs} log-probabilities", "logprobs")


def _check_stream(provider: Provider, body: dict[str, Any]) -> None:
    options = body.get("stream_options")
    if options is None:
        return
    if not body.get("stream"):
        raise Refused(400, "stream_options needs stream", "stream_options")
    for name in options:
        if name != "include_usage" and f"stream_options.{name}" not in provider.takes:
            raise unsupported(provider, name)
        if f"stream_options.{name}" in provider.rejects:
            raise unsupported(provider, name)


def _check_messages(provider: Provider, body: dict[str, Any]) -> None:
    if not isinstance(body.get("messages"), list):
        raise Refused(400, "`messages` is a list", "messages")
    for message in body["messages"]:
        if message.get("name") is not None and "messages[].name" in provider.rejects:
            raise unsupported(provider, "name")
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            fetched = not str((part.get("image_url") or {}).get("url", "data:")).startswith("data:")
            if part.get("type") == "image_url" and fetched and provider.errors == "google":
                raise Refused(400, "Only gs:// and data: URIs are supported.", "messages")


def _check_schema(provider: Provider, body: dict[str, Any]) -> None:
    shape = body.get("response_format")
    if not isinstance(shape, dict) or shape.get("type") != "json_schema":
        return
    if provider.schema == "none":
        raise unsupported(provider, "response_format")
    if provider.schema == "top-level":
        if not isinstance(shape.get("schema"), dict) or "json_schema" in shape:
            raise Refused(400, "response_format.schema is required", "response_format")
        return
    inner = shape.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict) or not inner.get("name"):
        raise Refused(400, "Missing required parameter: 'response_format.json_schema'.", "response_format")
