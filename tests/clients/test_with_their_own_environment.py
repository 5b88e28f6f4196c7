"""Clients that need an environment of their own (install.sh makes it): LangChain, LiteLLM, OpenAI's for JavaScript.

Each is a small program in `programs/` that uses the client as its manual says, and prints what it got.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Address

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]
PROGRAMS = Path(__file__).parent / "programs"


def run(gateway: Address, program: str, *arguments: str) -> dict[str, Any]:
    """What a program of the environment prints; in bounded time."""
    folder = os.environ.get("SHIPJURY_CLIENTS")
    assert folder, "say where tests/clients/install.sh has put the clients: SHIPJURY_CLIENTS=FOLDER"
    command = [str(Path(folder) / program), *arguments, gateway.v1, gateway.key]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(told, dict)
    return told


def test_langchains_chat_model_and_embeddings_work(gateway: Address) -> None:
    told = run(gateway, "python/bin/python", str(PROGRAMS / "langchain_chat.py"))
    assert (told["chat"], told["stream"]) == ("the jury has read", "the jury has read ")
    assert told["stream_usage"][-1]["output_tokens"] == 4
    assert told["tools"] == {"city": "jury", "days": 1}
    assert told["after_tool"].startswith("the jury")
    assert told["structured"] == {"tool": "jury", "score": 1}
    assert told["embeddings"] == [2, 2]
    assert (told["responses_api"], told["responses_stream"]) == ("the jury has read", "the jury has read ")
    assert told["errors"] == {
        "unknown_model": "model_not_found",
        "parameter": "parameter_unsupported",
        "broken_stream": "stream_cut",
    }


def test_litellm_works_as_a_client_in_both_dialects(gateway: Address) -> None:
    told = run(gateway, "python/bin/python", str(PROGRAMS / "litellm_calls.py"))
    assert (told["chat"], told["stream"].strip()) == ("the jury has read", "the jury has read")
    assert (told["tools"], told["structured"]) == ({"tool": "jury"}, {"tool": "jury"})
    assert told["embeddings"] == [2, 2]
    assert told["responses_api"] == "the jury has read"
    assert (told["anthropic"], told["anthropic_stream"].strip()) == ("the jury has read", "the jury has read")
    assert told["anthropic_tools"] == {"tool": "jury"}
    assert "no provider has a model `gpt-9`" in told["errors"]["unknown_model"]
    assert "`n`" in told["errors"]["parameter"]
    assert "broke" in told["errors"]["broken_stream"]


def test_openais_client_for_javascript_works(gateway: Address) -> None:
    told = run(gateway, "node", "openai_node.mjs")
    assert (told["chat"], told["stream"]) == ("the jury has read", {"text": "the jury has read ", "usage": 4})
    assert (told["tools"], told["structured"]) == ({"tool": "jury"}, {"tool": "jury"})
    assert told["after_tool"].startswith("the jury")
    assert told["embeddings"] == [4, 4]
    assert told["responses_api"] == "the jury has read"
    assert told["responses_stream"] == {"text": "the jury has read ", "last": "response.completed"}
    assert told["responses_tools"] == {"tool": "jury"}
    errors = told["errors"]
    assert errors["unknown_model"] == {"kind": "NotFoundError", "code": "model_not_found", "param": "model"}
    assert errors["parameter"] == {"kind": "BadRequestError", "code": "parameter_unsupported", "param": "n"}
    assert (errors["key"]["kind"], errors["broken_stream"]["code"]) == ("AuthenticationError", "stream_cut")
    assert errors["broken_response"]["code"] == "stream_cut"
