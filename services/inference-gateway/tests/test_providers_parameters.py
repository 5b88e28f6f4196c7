"""Never silently worse: what a provider cannot honour goes elsewhere or fails by name. The simulator is the judge.

Every deployment that ships is held against the simulated provider's own checks, over every parameter that is known to
anybody: what the plan lets through must pass, what it refuses must be named.
"""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_gateway.adapters import prepare
from inference_gateway.api.asked import read
from inference_gateway.domain.catalogue import Deployment, catalogue
from inference_gateway.domain.plan import Policy, plan
from inference_gateway.store import manifests
from tests.sim import converse
from tests.sim.checks import check, parse
from tests.sim.errors import Refused
from tests.sim.world import providers as simulated

from .worldwide import start_everywhere

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"name": "verdict", "schema": {"type": "object", "properties": {"verdict": {"type": "string"}}}}
IMAGE = "data:image/png;base64,aGVsbG8="
VALUES: dict[str, list[Any]] = {
    "max_tokens": [16],
    "max_completion_tokens": [16],
    "temperature": [0.5],
    "top_p": [0.9],
    "n": [2],
    "stop": ["x", ["x", "y"]],
    "seed": [7],
    "logprobs": [True],
    "logit_bias": [{"1": 5}],
    "presence_penalty": [0.5],
    "frequency_penalty": [0.5],
    "tools": [[TOOL]],
    "parallel_tool_calls": [False],
    "response_format": [{"type": "json_object"}, {"type": "json_schema", "json_schema": SCHEMA}],
    "user": ["somebody"],
    "store": [True],
    "metadata": [{"a": "b"}],
    "modalities": [["text"]],
    "prediction": [{"type": "content", "content": "x"}],
    "audio": [{"voice": "x"}],
    "service_tier": ["flex"],
    "reasoning_effort": ["none", "low", "high"],
    "verbosity": ["low"],
    "web_search_options": [{}],
    "prompt_cache_key": ["x"],
    "safety_identifier": ["x"],
    "top_k": [5],
    "min_p": [0.1],
    "repetition_penalty": [1.1],
    "safe_prompt": [True],
    "random_seed": [7],
    "prompt_truncate_length": [100],
    "functions": [[{"name": "look"}]],
    "something_new": [1],
}
WITH = {
    "tool_choice": [{"tools": [TOOL], "tool_choice": choice} for choice in ("auto", "none", "required")]
    + [{"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}}],
    "top_logprobs": [{"logprobs": True, "top_logprobs": 3}],
    "messages[].name": [{"messages": [{"role": "user", "name": "ann", "content": "hi"}]}],
    "messages[].image_url": [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}
    ],
    "messages": [{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]}],
    "messages[].content[].input_audio": [
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk="}}]}]}
    ],
    "stream_options.include_obfuscation": [{"stream": True, "stream_options": {"include_obfuscation": False}}],
}
ASKS = [({name}, {name: value}) for name, values in VALUES.items() for value in values]
ASKS += [({name}, body) for name, bodies in WITH.items() for body in bodies]
NOTHING: dict[str, Any] = {"user": None, "n": 1, "logprobs": False, "logit_bias": None, "seed": None, "metadata": None}

SHIPPED = [one for provider in manifests.load([manifests.shipped()], {}).values() for one in provider.deployments]
CHATS = [one for one in SHIPPED if "chat" in one.features]
WORLD = simulated()


def let_through(deployment: Deployment, asked: dict[str, Any]) -> bytes | str:
    """The body that goes out, or the parameter that the plan names."""
    body = {"model": deployment.name, "messages": [{"role": "user", "content": "hi"}], **asked}
    index = catalogue([replace(deployment, refuse=None)])
    request = read("/v1/chat/completions", orjson.dumps(body), index)
    now = datetime.now(UTC)
    made = plan(
        index.by_model[deployment.name], request.need, request.route, Policy(), {}, now=0, unix_time=0, today=now.date()
    )
    if made.candidates:
        return prepare(deployment, "chat", request.body_for(deployment)).body
    [out] = made.ruled_out
    assert out.group == "parameter", out
    assert out.param is not None
    return out.param


def judge(deployment: Deployment, body: bytes) -> None:
    """The simulated provider's own opinion. Raises :class:`Refused`."""
    provider = WORLD[deployment.provider]
    if deployment.api == "converse":
        converse.as_openai(provider, parse(body), deployment.model)
    else:
        check(provider, parse(body), "chat")


@pytest.mark.parametrize("provider", sorted({one.provider for one in CHATS}))
def test_what_is_let_through_is_never_refused_for_a_parameter_and_what_is_refused_is_named(provider: str) -> None:
    refused: set[str] = set()
    passed = 0
    of_provider = [one for one in CHATS if one.provider == provider]
    for deployment, (names, asked), stream in product(of_provider, ASKS, (False, True)):
        out = let_through(deployment, {**asked, "stream": True} if stream else asked)
        if isinstance(out, str):
            assert out in names or out in asked, (deployment.model, asked, out)
            refused.add(out)
            continue
        passed += 1
        try:
            judge(deployment, out)
        except Refused as error:
            pytest.fail(f"{deployment.model} at {provider} refuses {asked}: {error}")
    assert passed > 10
    assert "something_new" in refused, "what nobody knows goes to nobody"


@pytest.mark.parametrize("provider", sorted({one.provider for one in CHATS}))
def test_every_parameter_that_a_file_declares_rejected_is_refused_by_the_simulated_provider_too(provider: str) -> None:
    """Otherwise the file would refuse what the provider takes."""
    for deployment in (one for one in CHATS if one.provider == provider and one.api == "chat"):
        for names, asked in ASKS:
            [name] = names
            if name not in deployment.rejects or name in deployment.rename:
                continue
            body = {"model": deployment.model, "messages": [{"role": "user", "content": "hi"}], **asked}
            with pytest.raises(Refused):
                judge(deployment, orjson.dumps(body))


@pytest.mark.parametrize("deployment", CHATS, ids=lambda one: f"{one.provider}/{one.model}")
def test_parameters_that_ask_for_nothing_keep_nobody_out(deployment: Deployment) -> None:
    out = let_through(deployment, NOTHING)
    assert isinstance(out, bytes), out
    judge(deployment, out)


def test_a_value_that_asks_for_what_happens_anyway_is_none() -> None:
    index = catalogue([replace(CHATS[0], name="m")])
    for asked, needed in (
        ({"n": 1, "best_of": 1, "echo": False, "suffix": None}, set()),
        ({"n": 2, "best_of": 3, "echo": True, "suffix": "x"}, {"n", "best_of", "echo", "suffix"}),
    ):
        request = read("/v1/completions", orjson.dumps({"model": "m", "prompt": "hi", **asked}), index)
        assert request.need.parameters == needed
        assert request.idle == set(asked) - needed


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_combinations_that_are_let_through_are_never_refused(data: st.DataObject) -> None:
    deployment = data.draw(st.sampled_from(CHATS))
    asks = data.draw(st.lists(st.sampled_from(ASKS), max_size=6))
    asked = {name: value for _, one in asks for name, value in one.items()}
    if "max_tokens" in asked and "max_completion_tokens" in asked:
        del asked["max_tokens"]
    if "stream_options" in asked:
        asked["stream"] = True
    out = let_through(deployment, asked)
    if isinstance(out, bytes):
        judge(deployment, out)


async def test_a_request_with_such_a_parameter_goes_to_another_provider_or_names_both(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path)
    for provider, name, value in (
        ("groq", "n", 2),
        ("cerebras", "frequency_penalty", 0.5),
        ("cerebras", "tool_choice", "required"),
        ("vertex", "user", "somebody"),
        ("bedrock", "top_k", 5),
    ):
        asked = {name: value, "max_tokens": 4} | ({"tools": [TOOL]} if name == "tool_choice" else {})
        only, order = {"only": [provider]}, {"order": [provider, "fireworks"]}
        status, answer, _ = await gateway.chat("hi", model="gpt-oss-120b", provider=only, **asked)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "parameter_unsupported", name)
        assert provider in answer["error"]["message"]
        status, answer, headers = await gateway.chat("hi", model="gpt-oss-120b", provider=order, **asked)
        assert status == 200, answer
        assert headers["x-shipjury-provider"] != provider
    assert not [line for line in await gateway.account() if line["end"] == "refused"]
