"""How each way to break looks through the gateway, at providers that speak differently: what streaming.md says holds
for them too. What happens at each point of a stream is in test_streaming.py."""

from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sim.faults import AMID, BEFORE, Fault

from .conftest import ROOT
from .test_streaming import error_in
from .worldwide import start_everywhere

SPEAKERS = {
    "bedrock": "llama-3.3-70b-instruct",
    "vertex": "gpt-oss-120b",
    "azure": "gpt-4.1-mini",
    "mistral": "mistral-small-2603",
    "openrouter": "gpt-oss-120b",
}
"""Providers of every protocol and manner of streaming, with a model of each (Bedrock's by Converse)."""


@pytest.fixture
async def everywhere(start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A gateway in front of all providers."""
    return await start_everywhere(start, simulator, monkeypatch, tmp_path)


async def last(gateway: Any) -> dict[str, Any]:
    """The newest row of the ledger."""
    return dict((await gateway.ledger())[-1])


async def test_every_fault_before_the_first_byte_is_told_with_the_providers_name(everywhere: Any) -> None:
    seen = set()
    for provider, model in SPEAKERS.items():
        # A Retry-After keeps every replica away for its time: it comes last.
        for fault in sorted(BEFORE - {Fault.HANG}, key=lambda one: one is Fault.RATE_LIMIT_RETRY_AFTER):
            everywhere.api.public._requests.health.clear()
            status, answer, headers = await everywhere.chat(
                f"fault={fault}", model=model, max_tokens=9, provider={"only": [provider], "allow_fallbacks": False}
            )
            row = await last(everywhere)
            assert answer["error"]["provider"] == provider, answer
            assert row["outcome"] == ("uncertain" if fault is Fault.RESET else "error")
            seen.add((fault, status, headers.get("retry-after")))
    assert {(fault, status) for fault, status, _ in seen} == {
        (Fault.RATE_LIMIT, 429),
        (Fault.RATE_LIMIT_RETRY_AFTER, 429),
        (Fault.SERVER_ERROR, 502),
        (Fault.UNAVAILABLE, 502),
        (Fault.RESET, 502),
    }
    assert (Fault.RATE_LIMIT_RETRY_AFTER, 429, "2") in seen


async def test_a_broken_answer_looks_the_same_whoever_breaks_it(everywhere: Any) -> None:
    for provider, model in SPEAKERS.items():
        asked = {"model": f"{model}:{provider}", "max_tokens": 9}
        for fault in [*sorted(AMID - {Fault.STALL}), Fault.NO_FINISH]:
            everywhere.api.public._requests.health.clear()
            status, text, _ = await everywhere.chat(f"fault={fault} words=6", stream=True, **asked)
            assert status == 200, (provider, fault, text)
            error = error_in(text)
            assert (error["code"], error["provider"]) == ("stream_cut", provider), fault
            assert '"the ' in text, "what came before it has arrived"
            # Mistral reports usage with the finish that did not come; the others had reported it.
            known = fault is Fault.NO_FINISH and provider != "mistral"
            assert (await last(everywhere))["outcome"] == ("cut" if known else "uncertain"), (provider, fault)
        for fault, stream in product((Fault.NO_USAGE, Fault.WRONG_USAGE), (True, False)):
            status, _, _ = await everywhere.chat(f"fault={fault} words=4", stream=stream, **asked)
            row = await last(everywhere)
            assert (status, row["outcome"], row["provider"]) == (200, "uncertain", provider)
            assert row["cost_nano_usd"] == row["bound_nano_usd"] > 0
        everywhere.api.public._requests.health.clear()
        status, answer, _ = await everywhere.chat("fault=malformed", **asked)
        assert (status, answer["error"]["code"], answer["error"]["provider"]) == (502, "provider_malformed", provider)
    _, text, _ = await everywhere.chat("fault=slow words=3", model="llama-3.3-70b-instruct:bedrock", stream=True)
    assert text.endswith("data: [DONE]\n\n")


async def test_a_stream_of_another_api_that_stalls_is_ended_too(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    everywhere = await start_everywhere(start, simulator, monkeypatch, tmp_path, idle_seconds=0.3)
    _, text, _ = await everywhere.chat(
        "fault=stall words=6", model="llama-3.3-70b-instruct:bedrock", stream=True, max_tokens=9
    )
    assert error_in(text)["code"] == "stream_stalled"


async def test_fewer_log_probabilities_than_asked_for_are_an_error_or_another_providers_answer(gateway: Any) -> None:
    asked = {"prompt": "This is a big", "max_tokens": 1, "logprobs": 100}
    status, answer, _ = await gateway.post(
        "/v1/completions", model="sim-chat:alpha", **asked | {"prompt": "fault=fewer-logprobs"}
    )
    assert (status, answer["error"]["code"]) == (502, "fewer_logprobs")
    assert (await gateway.post("/v1/completions", model="sim-chat:alpha", **asked))[0] == 200


@pytest.mark.parametrize("how", ["self_signed", "broken_off"])
async def test_a_provider_whose_tls_fails_costs_nothing_and_is_replaced(start: Any, simulator: str, how: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{simulator}/_sim/tls") as response:
        address = (await response.json())[how]
    gateway = await start(provider_urls={"alpha": f"{address}/alpha/v1"})
    status, answer, _ = await gateway.chat("hello")
    assert (status, answer["error"]["provider"]) == (502, "alpha"), answer
    route = {"order": ["alpha", "beta"], "ignore": ["gamma"]}
    gateway.api.public._requests.health.clear()
    status, _, headers = await gateway.chat("hello", model="sim-chat", provider=route)
    assert (status, headers["x-shipjury-provider"]) == (200, "beta")
    rows = await gateway.ledger()
    assert [(row["provider"], row["outcome"], row["cost_nano_usd"]) for row in rows[:2]] == [("alpha", "error", 0)] * 2
    assert not [line for line in await gateway.account() if line["provider"] == "alpha"]


def test_every_fault_of_the_simulator_is_asked_for_by_a_test() -> None:
    text = "".join(path.read_text() for path in (ROOT / "services/inference-gateway/tests").glob("test_*.py"))
    asked = {fault for fault in Fault if f"fault={fault.value}" in text or f"Fault.{fault.name}" in text}
    assert set(Fault) == asked | BEFORE | AMID
