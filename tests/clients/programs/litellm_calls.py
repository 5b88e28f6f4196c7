"""LiteLLM as a client of a gateway, in two dialects: prints as JSON what it got. Usage: URL KEY."""

import json
import os
import sys
from importlib.metadata import version
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

SCHEMA = {"type": "object", "properties": {"tool": {"type": "string"}}, "required": ["tool"]}
TOOL = {"type": "function", "function": {"name": "forecast", "description": "the weather", "parameters": SCHEMA}}


def said(text: str) -> list[dict[str, str]]:
    """A user's message."""
    return [{"role": "user", "content": text}]


def run(url: str, key: str) -> dict[str, Any]:
    """Everything that the client does."""

    def chat(text: str, model: str = "openai/sim-chat", **more: Any) -> Any:
        base = url.removesuffix("/v1") if model.startswith("anthropic/") else url
        return litellm.completion(model, said(text), api_base=base, api_key=key, num_retries=0, max_retries=0, **more)

    told: dict[str, Any] = {"versions": {name: version(name) for name in ("litellm", "openai")}}
    told["chat"] = chat("words=4").choices[0].message.content
    told["stream"] = "".join(piece.choices[0].delta.content or "" for piece in chat("words=4", stream=True))
    told["tools"] = json.loads(chat("weather", tools=[TOOL]).choices[0].message.tool_calls[0].function.arguments)
    shape = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
    told["structured"] = json.loads(chat("judge", response_format=shape).choices[0].message.content)
    vectors = litellm.embedding("openai/sim-chat", ["hello", "there"], api_base=url, api_key=key)
    told["embeddings"] = [len(item["embedding"]) for item in vectors.data]
    told["responses_api"] = (
        litellm.responses(model="openai/sim-chat", input="words=4", api_base=url, api_key=key).output[0].content[0].text
    )
    told["anthropic"] = chat("words=4", "anthropic/sim-chat").choices[0].message.content
    told["anthropic_stream"] = "".join(
        piece.choices[0].delta.content or "" for piece in chat("words=4", "anthropic/sim-chat", stream=True)
    )
    told["anthropic_tools"] = json.loads(
        chat("weather", "anthropic/sim-chat", tools=[TOOL]).choices[0].message.tool_calls[0].function.arguments
    )
    told["errors"] = {
        "unknown_model": _error(litellm.NotFoundError, lambda: chat("hi", "openai/gpt-9")),
        "parameter": _error(litellm.BadRequestError, lambda: chat("hi", "openai/sim-chat:beta", n=2)),
        "broken_stream": _error(
            litellm.exceptions.MidStreamFallbackError,
            lambda: list(chat("fault=cut", "openai/sim-chat:alpha", stream=True)),
        ),
    }
    return told


def _error(kind: type[Exception], call: Any) -> str | None:
    try:
        call()
    except kind as error:
        return str(error)
    return None


print(json.dumps(run(*sys.argv[1:3])))  # noqa: T201
