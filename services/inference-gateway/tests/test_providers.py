"""Every provider behind one API: switched by one parameter, billed as it bills, added by one file."""

import re
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from inference_gateway.store import accounts, manifests

from .conftest import ROOT
from .worldwide import NODE, routable, start_everywhere

NAMED = {
    *("bedrock", "azure", "vertex", "fireworks", "together", "groq", "cerebras", "cohere", "deepinfra", "sambanova"),
    *("nebius", "novita", "mistral", "openai", "huggingface", "scaleway", "ovhcloud"),
}
ASKED = {"messages": [{"role": "user", "content": "cached words=6"}], "max_tokens": 6}


async def program(client: AsyncOpenAI, model: str, **parameter: Any) -> tuple[str, str]:
    """The client program: a chat, then the same as a stream. Returns the provider that answered, and the text."""
    raw = await client.chat.completions.with_raw_response.create(model=model, **ASKED, **parameter)
    answer = raw.parse()
    assert answer.usage is not None
    assert answer.choices[0].finish_reason in ("stop", "length")
    stream = await client.chat.completions.create(model=model, stream=True, **ASKED, **parameter)
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text.split() == str(answer.choices[0].message.content).split()
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    return raw.headers["x-shipjury-provider"], text


async def test_one_program_switches_through_all_providers_by_one_parameter_and_each_is_billed_as_it_bills(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path)
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    chats = {(one.provider, one.api): one for one in routable(gateway) if "chat" in one.features}
    assert {provider for provider, _ in chats} >= NAMED | {NODE}
    switched = 0
    for turn, one in enumerate(chats.values()):
        ways: list[tuple[str, dict[str, Any]]] = [
            (f"{one.name}:{one.provider}", {}),
            (one.name, {"extra_body": {"provider": one.provider}}),
            (one.name, {"extra_body": {"provider": {"only": [one.provider]}}}),
            (one.name, {"extra_body": {"provider": {"order": [one.provider], "allow_fallbacks": False}}}),
        ]
        name, parameter = ways[turn % len(ways)]
        answered, text = await program(client, name, **parameter)
        assert (answered, text.split()[:2]) == (one.provider, ["the", "jury"])
        switched += 1
    rows = {row["attempt_id"]: row for row in await gateway.ledger()}
    lines = [line for line in await gateway.account() if line["provider"] != "alpha"]
    assert len(lines) >= 2 * len(NAMED)
    for line in lines:
        row = rows[line["attempt_id"]]
        assert (row["provider"], row["model"], row["outcome"]) == (line["provider"], line["model"], "ok")
        assert (row["input_tokens"], row["output_tokens"]) == (line["input"], line["output"]), line
        assert row["cost_nano_usd"] == line["nano_usd"] > 0, line
    assert switched == len(chats)


async def test_cheapest_and_preferred_choose_among_all_who_have_the_model(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path)
    await gateway.change(accounts.change_project, "panel", preferred=["groq", "cerebras"])
    chosen = {}
    for sort in ("cheapest", "preferred", "fastest"):
        status, answer, headers = await gateway.chat("words=4", model=f"gpt-oss-120b:{sort}", max_tokens=4)
        assert status == 200, answer
        chosen[sort] = headers["x-shipjury-provider"]
    assert (chosen["cheapest"], chosen["preferred"]) == ("deepinfra", "groq")
    assert chosen["fastest"] in {one.provider for one in routable(gateway) if one.name == "gpt-oss-120b"}


async def test_embeddings_are_billed_at_every_provider_that_lists_them(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path)
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    asked = [one for one in routable(gateway) if "embeddings" in one.features]
    assert {one.provider for one in asked} >= {"openai", "azure", "mistral"}
    for one in asked:
        answer = await client.embeddings.create(model=f"{one.name}:{one.provider}", input=["one", "two words"])
        assert len(answer.data) == 2
    costs = {row["attempt_id"]: row["cost_nano_usd"] for row in await gateway.ledger()}
    assert costs == {line["attempt_id"]: line["nano_usd"] for line in await gateway.account()}


async def test_a_provider_is_added_by_the_file_that_contributing_shows(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [shown] = re.findall(r"```toml\n(# example\.toml.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    folder = tmp_path / "providers"
    folder.mkdir()
    (folder / "example.toml").write_text(shown)
    monkeypatch.setenv("EXAMPLE_API_KEY", "example-secret")
    gateway = await start(provider_urls={"example": f"{simulator}/example/v1"})
    status, answer, headers = await gateway.chat("cached hello", model="model-1:example", stream=False)
    assert (status, headers["x-shipjury-provider"]) == (200, "example"), answer
    [row] = await gateway.ledger()
    [line] = await gateway.account()
    assert (row["cost_nano_usd"], row["model"]) == (line["nano_usd"], "example/model-1")
    status, answer, _ = await gateway.chat(model="model-1:example", logit_bias={"1": 1})
    assert (status, answer["error"]["param"]) == (400, "logit_bias")


def test_every_shipped_figure_has_a_source_and_a_day() -> None:
    providers = manifests.load([manifests.shipped()], {})
    assert providers.keys() >= NAMED
    for provider in providers.values():
        told = " ".join(fact.what for fact in provider.manifest.facts)
        assert {"base_url", "auth", "api_key_env"} <= {word.rstrip(":") for word in told.split()}, provider.id
        for model in provider.manifest.models:
            assert model.prices, f"{provider.id}/{model.id} has no price"
            assert all(price.source and price.since for price in model.prices)
            limits = (model.context_tokens, model.max_output_tokens)
            assert limits == (None, None) or "models: context" in told, f"{provider.id}: limits without a source"


def test_a_file_that_cannot_be_used_is_named_with_its_field(tmp_path: Path) -> None:
    for text, said in (
        ('id = "x"\ndisplay_name = "X"\nbase_url = "https://x"\nprotocol = "soap"', "protocol"),
        ('id = "x"\ndisplay_name = "X"\nbase_url = "https://x"\nspeed = 9', "speed"),
        ('id = "X"\ndisplay_name = "X"\nbase_url = "https://x"', "id"),
        ("id = ", "Invalid value"),
    ):
        (tmp_path / "x.toml").write_text(text)
        with pytest.raises(manifests.BadManifest, match=rf"x\.toml: .*{said}"):
            manifests.load([tmp_path], {})
