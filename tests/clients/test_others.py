"""Hugging Face's client for Python, and curl."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError

from .conftest import Address

SCHEMA = {"type": "object", "properties": {"tool": {"type": "string"}}, "required": ["tool"]}
TOOL: Any = {"type": "function", "function": {"name": "forecast", "parameters": SCHEMA}}
HELLO: Any = [{"role": "user", "content": "words=4"}]


@pytest.fixture
def hub(gateway: Address) -> InferenceClient:
    return InferenceClient(base_url=gateway.v1, api_key=gateway.key)


def test_hugging_faces_client_chats_and_streams(hub: InferenceClient) -> None:
    answer = hub.chat_completion(HELLO, model="sim-chat", max_tokens=50)
    assert answer.choices[0].message.content == "the jury has read"
    chunks = list(hub.chat_completion(HELLO, model="sim-chat", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "the jury has read "


def test_hugging_faces_client_calls_tools_and_gets_structured_output(hub: InferenceClient) -> None:
    answer = hub.chat_completion(HELLO, model="sim-chat", tools=[TOOL])
    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("forecast", {"tool": "jury"})
    shape: Any = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
    told = hub.chat_completion(HELLO, model="sim-chat", response_format=shape)
    assert json.loads(told.choices[0].message.content) == {"tool": "jury"}


def test_hugging_faces_client_raises_its_own_errors(hub: InferenceClient) -> None:
    with pytest.raises(BadRequestError, match="no provider can serve"):
        hub.chat_completion(HELLO, model="sim-chat:beta", tools=[TOOL])
    with pytest.raises(HfHubHTTPError, match="no provider has a model"):
        hub.chat_completion(HELLO, model="gpt-9")


def curl(gateway: Address, path: str, body: dict[str, Any], *options: str) -> str:
    """What curl prints."""
    program = shutil.which("curl")
    assert program is not None, "curl is not on the PATH: Debian and Ubuntu have it as the package curl"
    command = [program, "-sS", "-N", *options, f"{gateway.v1}{path}", "-d", json.dumps(body)]
    headers = ["-H", f"Authorization: Bearer {gateway.key}", "-H", "Content-Type: application/json"]
    return subprocess.run([*command, *headers], check=True, capture_output=True, text=True, timeout=30).stdout


def test_curl_chats_streams_calls_tools_embeds_and_sees_errors(gateway: Address) -> None:
    chat = {"model": "sim-chat", "messages": HELLO}
    assert (
        json.loads(curl(gateway, "/chat/completions", chat))["choices"][0]["message"]["content"] == "the jury has read"
    )
    assert curl(gateway, "/chat/completions", chat | {"stream": True}).endswith("data: [DONE]\n\n")
    called = json.loads(curl(gateway, "/chat/completions", chat | {"tools": [TOOL]}))
    assert called["choices"][0]["finish_reason"] == "tool_calls"
    shape = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
    told = json.loads(curl(gateway, "/chat/completions", chat | {"response_format": shape}))
    assert json.loads(told["choices"][0]["message"]["content"]) == {"tool": "jury"}
    vectors = json.loads(curl(gateway, "/embeddings", {"model": "sim-chat", "input": ["a", "b"]}))
    assert len(vectors["data"]) == 2
    told = curl(gateway, "/chat/completions", {"messages": HELLO}, "-w", "%{http_code}")
    assert told.endswith("400")
    assert json.loads(told[:-3])["error"]["param"] == "model"


def test_curl_sees_the_translated_apis(gateway: Address) -> None:
    message = {"model": "sim-chat", "max_tokens": 9, "messages": HELLO, "stream": True}
    assert curl(gateway, "/messages", message).rstrip().endswith('data: {"type":"message_stop"}')
    response = json.loads(curl(gateway, "/responses", {"model": "sim-chat", "input": "words=2"}))
    assert response["output"][0]["content"][0]["text"] == "the jury"
