"""Adapters: addresses, signatures, tokens, and Bedrock's Converse in OpenAI's words."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from pydantic import SecretStr
from yarl import URL

from inference_gateway.adapters import converse, dialect, prepare
from inference_gateway.adapters.access import Bought, NoAccess
from inference_gateway.adapters.aws import Signed
from inference_gateway.adapters.converse_stream import ConverseTranslator
from inference_gateway.adapters.entra import EntraApplication
from inference_gateway.adapters.google import GoogleAccount
from inference_gateway.adapters.limits import wait_of
from inference_gateway.domain.catalogue import Deployment
from inference_gateway.domain.errors import GatewayError
from tests.sim.converse import frame

from .worldwide import service_account

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def deployment(**changes: Any) -> Deployment:
    """A deployment of some provider."""
    values: dict[str, Any] = {"provider": "p", "model": "m", "name": "m", "kind": "cloud", "base_url": "https://p/v1"}
    return Deployment(**values | {"features": frozenset({"chat"})} | changes)


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "https://p/v1/chat/completions"),
        (
            {"protocol": "azure", "base_url": "https://jury.openai.azure.com/openai/v1"},
            "https://jury.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            {"protocol": "azure", "base_url": "https://jury.openai.azure.com/openai/v1", "api_version": "2024-10-21"},
            "https://jury.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21",
        ),
        (
            {"protocol": "vertex", "base_url": "https://global-aiplatform.googleapis.com/v1beta1/projects/p"},
            "https://aiplatform.googleapis.com/v1beta1/projects/p/chat/completions",
        ),
        (
            {"protocol": "vertex", "base_url": "https://us-central1-aiplatform.googleapis.com/v1beta1/projects/p"},
            "https://us-central1-aiplatform.googleapis.com/v1beta1/projects/p/chat/completions",
        ),
        (
            {"protocol": "bedrock", "base_url": "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1"},
            "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1/chat/completions",
        ),
        (
            {
                "protocol": "bedrock",
                "api": "converse",
                "model": "meta.llama3-v1:0",
                "base_url": "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
            },
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/meta.llama3-v1%3A0/converse",
        ),
    ],
)
def test_each_protocol_has_its_address(changes: dict[str, Any], url: str) -> None:
    assert str(prepare(deployment(**changes), "chat", orjson.dumps(CHAT)).url) == url


def test_a_dialect_renames_and_reshapes_without_loss() -> None:
    schema = {"type": "object"}
    asked = CHAT | {
        "seed": 7,
        "provider": "p",
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    }
    told = dialect.spoken(
        asked,
        deployment(model="their/m", rename={"seed": "random_seed"}, schema="top_level", usage_in_stream="always"),
    )
    assert told == {
        "model": "their/m",
        "messages": CHAT["messages"],
        "random_seed": 7,
        "response_format": {"type": "json_schema", "schema": schema},
    }


def test_a_chat_with_tools_and_images_becomes_a_converse_request() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    asked = {
        "max_tokens": 9,
        "stop": "END",
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "tool_choice": "required",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "what is it"}, image]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "a page"},
            {"role": "user", "content": "so?"},
        ],
    }
    picture = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    told = {"toolResult": {"toolUseId": "c1", "content": [{"text": "a page"}]}}
    assert converse.request(asked) == {
        "system": [{"text": "be brief"}],
        "inferenceConfig": {"maxTokens": 9, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}],
            "toolChoice": {"any": {}},
        },
        "messages": [
            {"role": "user", "content": [{"text": "what is it"}, picture]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": 1}}}]},
            {"role": "user", "content": [told, {"text": "so?"}]},
        ],
    }


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "content": "x"},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,***"}}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "x", "arguments": "{"}}]},
    ],
)
def test_what_converse_has_no_words_for_is_refused_by_name(message: dict[str, Any]) -> None:
    with pytest.raises(GatewayError, match="Converse does not take") as refused:
        converse.request({"messages": [message]})
    assert (refused.value.code, refused.value.param) == ("parameter_unsupported", "messages")


def test_an_event_stream_cut_anywhere_gives_the_same_events_and_done_only_after_the_stop() -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "look"}}
    usage = {"inputTokens": 2, "cacheReadInputTokens": 3, "outputTokens": 1}
    until_stop = b"".join(
        (
            frame("messageStart", {"role": "assistant"}),
            frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hé"}}),
            frame("contentBlockStart", {"contentBlockIndex": 1, "start": use}),
            frame("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}}),
            frame("messageStop", {"stopReason": "tool_use"}),
        )
    )
    frames = until_stop + frame("metadata", {"usage": usage})
    whole = ConverseTranslator("m")
    expected = whole.feed(frames) + whole.end()
    assert expected.endswith(b"data: [DONE]\n\n")
    for cut in range(len(frames)):
        parts = ConverseTranslator("m")
        assert parts.feed(frames[:cut]) + parts.feed(frames[cut:]) + parts.end() == expected
        short = ConverseTranslator("m")
        short.feed(frames[:cut])
        assert (short.end() != b"") == (cut >= len(until_stop))
    events = [json.loads(event[6:]) for event in expected.split(b"\n\n") if event and b"[DONE]" not in event]
    assert events[-1]["usage"]["prompt_tokens"] == 5
    assert events[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_frame_whose_checksum_is_wrong_ends_the_stream_with_an_error() -> None:
    good = frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "fine"}})
    broken = ConverseTranslator("m")
    told = broken.feed(good + good[:-1] + b"!") + broken.end()
    assert b"fine" in told
    assert b'"error"' in told
    assert b"[DONE]" not in told


async def test_the_signature_is_the_one_that_amazon_computes(simulator: str) -> None:
    signed = Signed("AKIASIMULATED", SecretStr("bedrock-secret-access-key"), None, "us-east-1")
    url = f"{simulator}/bedrock/model/meta.llama3-3-70b-instruct-v1%3A0/converse"
    body = orjson.dumps({"messages": [{"role": "user", "content": [{"text": "hi"}]}]})
    headers = dict(await signed.headers("POST", url, body)) | {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:
        async with session.post(URL(url, encoded=True), data=body, headers=headers) as response:
            assert response.status == 200, await response.text()
        async with session.post(URL(url, encoded=True), data=body + b" ", headers=headers) as response:
            assert response.status == 403
        headers["X-Amz-Date"] = "20200101T000000Z"
        async with session.post(URL(url, encoded=True), data=body, headers=headers) as response:
            assert response.status == 403


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (503, {"Retry-After": "7"}, "7"),
        (429, {"Retry-After": "7", "retry-after-ms": "1500"}, "1.5"),
        (429, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, "360.0"),
        (429, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, "0.02"),
        (429, {"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "2.0"}, "2.0"),
        (429, {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
        (429, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        (500, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, None),
        (429, {}, None),
    ],
)
def test_each_dialect_of_rate_limits_says_how_long_to_wait(
    status: int, headers: dict[str, str], wait: str | None
) -> None:
    assert wait_of(status, headers) == wait


class Counted(Bought):
    """Tokens of a made-up seller; ``sold`` counts them."""

    def __init__(self, lives_s: float) -> None:
        super().__init__()
        self.sold = 0
        self._lives_s = lives_s

    def fetch(self) -> tuple[str, float]:
        self.sold += 1
        return f"token-{self.sold}", time.time() + self._lives_s


async def test_a_token_is_bought_once_for_all_who_wait_and_again_when_it_runs_out_or_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seller = Counted(lives_s=3600)
    sent = await asyncio.gather(*(seller.headers("POST", "u", b"") for _ in range(20)))
    assert {one["Authorization"] for one in sent} == {"Bearer token-1"}
    assert seller.sold == 1
    assert not seller.refused(sent[0]), "just bought: the next one would be refused too"
    fresh = await seller.headers("POST", "u", b"")
    assert fresh["Authorization"] == "Bearer token-2"
    assert seller.refused(sent[1]), "an old one, while there is another"
    assert await seller.headers("POST", "u", b"") == fresh, "which is kept"
    monkeypatch.setattr("inference_gateway.adapters.access._JUST_BOUGHT_S", -1)
    assert seller.refused(fresh)
    assert (await seller.headers("POST", "u", b""))["Authorization"] == "Bearer token-3"
    short = Counted(lives_s=1)
    await short.headers("POST", "u", b"")
    await short.headers("POST", "u", b"")
    assert short.sold == 2


async def test_google_and_microsoft_sell_tokens_for_what_they_signed_and_to_nobody_else(
    simulator: str, tmp_path: Path
) -> None:
    account = (await service_account(simulator, tmp_path)).read_text()
    google = GoogleAccount(SecretStr(account))
    sent = await google.headers("POST", "u", b"")
    assert sent["Authorization"].startswith("Bearer ya29.vertex-")
    entra = EntraApplication("tenant", "sim-app", SecretStr("azure-client-secret"), f"{simulator}/azure")
    assert (await entra.headers("POST", "u", b""))["Authorization"].startswith("Bearer ya29.azure-")
    wrong = EntraApplication("tenant", "sim-app", SecretStr("planted-wrong-secret"), f"{simulator}/azure")
    with pytest.raises(NoAccess) as refused:
        await wrong.headers("POST", "u", b"")
    assert "planted" not in repr(refused.value) + str(refused.value.__cause__)
    other = json.loads(account) | {"type": "external_account"}
    with pytest.raises(NoAccess, match="external_account"):
        await GoogleAccount(SecretStr(json.dumps(other))).headers("POST", "u", b"")
