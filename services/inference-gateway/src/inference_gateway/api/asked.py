"""A client's request, parsed once: which model and route, what it needs, and the body for each provider."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from ..adapters.dialect import spoken
from ..domain import dialects, embedding
from ..domain.bounds import measure
from ..domain.catalogue import Catalogue, Deployment
from ..domain.errors import GatewayError
from ..domain.plan import Need
from ..domain.routing import Route, read_provider_field, split_model
from .http import parse

ENDPOINTS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
    # These two come here as chat completions: see translated.py.
    "/v1/messages": "chat",
    "/v1/responses": "chat",
}
_REQUIRED = {"chat": "messages", "completions": "prompt", "embeddings": "input"}
_OURS = frozenset({"model", "messages", "prompt", "input", "stream", "provider", "stream_options"})
_CHOICES = ("tool_choice", "reasoning_effort", "service_tier", "verbosity")
_NOTHING = (("n", 1), ("best_of", 1), ("echo", False))
"""Values that ask for what happens anyway."""
_POSITIVE = ("max_tokens", "max_completion_tokens", "n", "best_of")


@dataclass(slots=True)
class Asked:
    """One request. ``raw`` is the body as it came; it goes out untouched where nothing in it must change."""

    path: str
    endpoint: str
    body: dict[str, Any]
    raw: bytes
    model: str
    route: Route
    need: Need
    stream: bool
    wants_usage: bool
    user: str | None = None
    """The end user, where a header names one."""
    idle: frozenset[str] = frozenset()
    """Parameters that are there and ask for nothing (null, `n` of 1): they don't go to who would refuse them."""

    def body_for(self, deployment: Deployment) -> bytes:
        """The body as this provider gets it: its own model id, no routing, and usage at the end of a stream."""
        add_usage = self.stream and not self.wants_usage and deployment.streaming_usage
        idle = self.idle & deployment.rejects if deployment.takes is None else self.idle - deployment.honoured
        untouched = self.body["model"] == deployment.model and "provider" not in self.body and not add_usage
        if untouched and deployment.plain and not idle:
            return self.raw
        body = spoken(self.body, deployment, idle)
        if add_usage:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return orjson.dumps(body)

    def end_user(self, project_id: str) -> str | None:
        """A hash of the end user that the client names: enough to allocate by, nothing to recognise anybody by."""
        user = self.user or self.body.get("user")
        if not isinstance(user, str) or not user:
            return None
        return hashlib.sha256(f"{project_id}\0{user}".encode()).hexdigest()[:32]

    def prompt_hash(self, project_id: str) -> str:
        """A hash of what is asked: enough to tell that a project asked the same before, nothing to read it by."""
        asked = self.body[_REQUIRED[self.endpoint]]
        return hashlib.blake2b(orjson.dumps([project_id, asked]), digest_size=8).hexdigest()


def read(path: str, raw: bytes, catalogue: Catalogue) -> Asked:
    """Parse a request body. Raises :class:`GatewayError` that names what is wrong with it."""
    endpoint = ENDPOINTS[path]
    body = parse(raw)
    if not isinstance(body, dict):
        raise GatewayError("invalid_json", "the body is no JSON object")
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise GatewayError("missing_parameter", "`model` is missing", param="model")
    if body.get(_REQUIRED[endpoint]) is None:
        raise GatewayError("missing_parameter", f"`{_REQUIRED[endpoint]}` is missing", param=_REQUIRED[endpoint])
    _check_values(body)
    if endpoint == "embeddings":
        embedding.check(body)
    elif dialects.normalise(body):
        raw = orjson.dumps(body)
    model, route = split_model(name, catalogue)
    route = read_provider_field(body.get("provider"), route, catalogue)
    options = body.get("stream_options")
    need = _need(endpoint, body, len(raw))
    return Asked(
        path=path,
        endpoint=endpoint,
        body=body,
        raw=raw,
        model=model,
        route=route,
        need=need,
        stream=body.get("stream") is True,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        idle=frozenset(body.keys() - need.parameters - _OURS),
    )


def _check_values(body: dict[str, Any]) -> None:
    for name in _POSITIVE:
        value = body.get(name)
        if value is None:
            continue
        least = 0 if name.startswith("max_") else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise GatewayError("invalid_parameter", f"`{name}` is an integer, at least {least}", param=name)
    if not isinstance(body.get("stream", False), bool | None):
        raise GatewayError("invalid_parameter", "`stream` is true or false", param="stream")


def _need(endpoint: str, body: dict[str, Any], length: int) -> Need:
    parameters = {name for name, value in body.items() if value is not None and name not in _OURS}
    features: set[str] = set()
    images = 0
    for message in body["messages"] if endpoint == "chat" and isinstance(body["messages"], list) else ():
        if not isinstance(message, dict):
            raise GatewayError("invalid_parameter", "each of `messages` is an object", param="messages")
        if message.get("name") is not None:
            parameters.add("messages[].name")
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "image_url":
                images += 1
                if not _carried(part):
                    parameters.add("messages[].image_url")
            elif kind != "text":
                parameters.add(f"messages[].content[].{kind}")
    if images:
        features.add("images")
    if body.get("tools"):
        features.add("tools")
    shape = body.get("response_format")
    if isinstance(shape, dict) and shape.get("type") == "json_schema":
        features.add("json_schema")
    for name, nothing in _NOTHING:
        if name in parameters and body[name] == nothing:
            parameters.remove(name)
    if endpoint == "embeddings":
        parameters.discard("encoding_format")  # The gateway packs and unpacks for those who do not know it.
    options = body.get("stream_options")
    if isinstance(options, dict):
        parameters |= {f"stream_options.{name}" for name in options if name != "include_usage"}
    logprobs = _logprobs(endpoint, body)
    if logprobs is None:
        parameters.discard("logprobs")
        parameters.discard("top_logprobs")
    elif endpoint != "embeddings":
        features.add("logprobs")
    return Need(
        endpoint=endpoint,
        parameters=frozenset(parameters),
        features=frozenset(features),
        logprobs=logprobs or 0,
        size=measure(body, length, images=images),
        choices=frozenset(
            (name, body[name] if isinstance(body[name], str) else "object")
            for name in _CHOICES
            if body.get(name) is not None
        ),
    )


def _carried(part: dict[str, Any]) -> bool:
    """Whether the request carries an image itself; otherwise the provider has to fetch it."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url.startswith("data:")


def _logprobs(endpoint: str, body: dict[str, Any]) -> int | None:
    """How many log-probabilities a token are asked for; ``None`` for not at all."""
    value = body.get("logprobs")
    if value is None or value is False:
        return None
    if value is True:
        value = body.get("top_logprobs") or 0
    elif endpoint == "chat":
        raise GatewayError(
            "invalid_parameter", "`logprobs` is true or false here; `top_logprobs` says how many", param="logprobs"
        )
    if not isinstance(value, int) or value < 0:
        raise GatewayError(
            "invalid_parameter", "the number of log-probabilities is an integer, at least 0", param="logprobs"
        )
    return value
