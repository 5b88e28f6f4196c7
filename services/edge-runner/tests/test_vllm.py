"""The vLLM adapter, held against what a real vLLM said (recorded), or against a real one (``-m slow``, ``EDGE_VLLM``).

The same claims run twice. To record again: ``EDGE_VLLM=VENV/bin/vllm pytest services/edge-runner/tests/test_vllm.py -m
slow`` writes ``recordings/vllm.json``. ``docs/how-to/serve-with-vllm.md`` says how to make such an environment and the
model's folder, which ``EDGE_VLLM_MODELS`` names here.
"""

import json
import math
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from edge_runner.engines import Vllm
from edge_runner.schemas import violation

from . import vllm_double
from .conftest import MODEL, RunningNode, StartNode, start, wait_for
from .test_structured import ASK, CHOOSE, PERSON
from .test_tools import TREE

pytestmark = pytest.mark.timeout(300)

RECORDING = Path(__file__).parent / "recordings" / "vllm.json"
CONFIG = Path(__file__).parent / "recordings" / "config.json"


def models_for_replay(folder: Path) -> Path:
    """A models folder with what the adapter itself reads: the real model's numbers, the words that were recorded."""
    model = folder / "models" / MODEL / "safetensors"
    model.mkdir(parents=True)
    shutil.copy(CONFIG, model / "config.json")
    shutil.copy(RECORDING.parent / "tokenizer.json", model)
    header = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    return folder / "models"


@pytest.fixture(
    scope="module", params=["recorded", pytest.param("real", marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def vllm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that serves with vLLM: the recorded one, or the real one, which is recorded."""
    folder = tmp_path_factory.mktemp("vllm")
    if request.param == "recorded":
        command = vllm_double.installed(folder / "venv", "replay", str(RECORDING))
        models = models_for_replay(folder)
    else:
        command = vllm_double.installed(folder / "venv", "record", str(RECORDING), os.environ["EDGE_VLLM"])
        models = Path(os.environ["EDGE_VLLM_MODELS"])
    running = start(folder, "--engine", "vllm", vllm=str(command), models_dir=str(models), **SETTINGS)
    yield running
    running.stop()


SETTINGS = {"slots": "2", "token": "a-token", "threads": "1", "ready_seconds": "600"}


@pytest.fixture
def client(vllm: RunningNode) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=vllm.base_url, api_key="a-token", max_retries=0, timeout=120) as made:
        yield made


def test_the_node_names_engine_and_weights(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.model_extra is not None
    assert model.model_extra["engine"] == "vllm 0.32.0+cpu"
    assert model.model_extra["quantization"] == "BFLOAT16"
    assert model.model_extra["max_logprobs"] == 1000


def test_a_chat_is_the_same_streamed_and_whole_and_has_nothing_that_only_vllm_knows(client: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Count to three."}], "max_tokens": 8}
    whole = client.chat.completions.create(**asked, temperature=0)
    usage = {"include_usage": True}
    chunks = list(client.chat.completions.create(**asked, temperature=0, stream=True, stream_options=usage))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert whole.usage is not None
    assert (whole.usage.completion_tokens, whole.choices[0].finish_reason) == (8, "length")
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8
    assert not whole.choices[0].model_extra
    assert not any(choice.model_extra for chunk in chunks for choice in chunk.choices)


def test_the_log_probabilities_of_a_completion_are_keyed_by_text_and_lose_no_mass(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="The capital of France is", max_tokens=2, temperature=0, logprobs=200
    )
    scored = answer.choices[0].logprobs
    assert scored is not None
    assert scored.tokens == [" Paris", "."]
    assert scored.text_offset == [0, 6]
    first = (scored.top_logprobs or [{}])[0]
    assert max(first, key=lambda text: first[text]) == " Paris"
    assert 195 <= len(first) <= 201  # tokens of the same text are summed
    assert 0.9 < sum(math.exp(value) for value in first.values()) <= 1.001


def test_streamed_log_probabilities_have_offsets_that_fit_the_text(client: openai.OpenAI) -> None:
    text, offsets = "", []
    for chunk in client.completions.create(
        model=MODEL, prompt="One two three", max_tokens=6, temperature=0, logprobs=2, stream=True
    ):
        for choice in chunk.choices:
            text += choice.text
            offsets += (choice.logprobs.text_offset or []) if choice.logprobs else []
    assert len(offsets) == 6
    assert offsets == sorted(offsets)
    assert offsets[-1] < len(text)


def test_chat_log_probabilities_come_with_their_bytes(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=2, logprobs=True, top_logprobs=5, seed=1
    )
    content = (answer.choices[0].logprobs or answer).content or ()  # type: ignore[union-attr]
    assert [len(token.top_logprobs) for token in content] == [5, 5]
    assert all(bytes(token.bytes or ()).decode() == token.token for token in content)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "choose"}}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_wanted_call_comes_and_is_valid(client: openai.OpenAI, choice: Any, stream: bool) -> None:
    answer: Any = client.chat.completions.create(
        model=MODEL,
        messages=ASK,
        tools=[CHOOSE],
        tool_choice=choice,
        parallel_tool_calls=False,
        max_tokens=60,
        stream=stream,
        seed=3,
    )
    if stream:
        pieces = [chunk.choices[0] for chunk in answer]
        calls, finish = [call for piece in pieces for call in piece.delta.tool_calls or ()], pieces[-1].finish_reason
    else:
        calls, finish = answer.choices[0].message.tool_calls, answer.choices[0].finish_reason
    assert finish == "tool_calls"
    (call,) = calls
    assert call.function.name == "choose"
    assert json.loads(call.function.arguments)["colour"] in ("red", "green")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_follows_its_schema(client: openai.OpenAI, stream: bool) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    messages: Any = [{"role": "user", "content": "Invent a person."}]
    answer: Any = client.chat.completions.create(
        model=MODEL, messages=messages, response_format=form, max_tokens=60, seed=1, stream=stream
    )
    if stream:
        pieces = [chunk.choices[0] for chunk in answer]
        text, finish = "".join(piece.delta.content or "" for piece in pieces), pieces[-1].finish_reason
    else:
        text, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert finish == "stop"
    assert violation(PERSON, json.loads(text)) is None


def test_a_recursive_schema_is_followed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=[TREE], tool_choice="required", max_tokens=120, seed=2
    )
    assert answer.choices[0].finish_reason in ("tool_calls", "length")
    for call in answer.choices[0].message.tool_calls or ():
        assert violation(TREE["function"]["parameters"], json.loads(call.function.arguments)) is None


def test_a_stop_sequence_ends_the_text_before_it_and_a_seed_repeats_it(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt="1 2 3 4", max_tokens=16, temperature=0, stop=["7"])
    assert "7" not in answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"
    asked: Any = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 8, "temperature": 1, "seed": 7}
    assert len({client.completions.create(**asked).choices[0].text for _ in range(2)}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(vllm: RunningNode, stream: bool) -> None:
    answer = vllm.post("/completions", prompt="word " * 3000, max_tokens=5, stream=stream)
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert (error["code"], error["context_tokens"]) == ("context_length_exceeded", 2048)
    assert error["prompt_tokens"] > 2900
    chat = vllm.post("/chat/completions", messages=[{"role": "user", "content": "hi " * 3000}], stream=stream)
    assert (chat.status_code, chat.json()["error"]["code"]) == (413, "context_length_exceeded")


def test_what_the_engine_refuses_is_told_in_its_words(vllm: RunningNode) -> None:
    answer = vllm.post("/completions", prompt=[1, 2, 99_999_999], max_tokens=1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "engine_refused")
    assert "out of vocabulary" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_engine(vllm: RunningNode, stream: bool) -> None:
    engine = engine_of(vllm)
    body = {"model": MODEL, "prompt": "A long story:", "max_tokens": 1900, "logit_bias": {"2": -100}, "temperature": 0}
    with httpx.Client(headers=vllm.headers, timeout=0.05 if not stream else 60) as client:
        if stream:
            with client.stream("POST", vllm.base_url + "/completions", json=body | {"stream": True}) as answer:
                coming = answer.iter_raw()  # kept: its end would be ours
                assert b'"text"' in next(coming)
                assert engine.busy() == 1
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(vllm.base_url + "/completions", json=body)
    wait_for(lambda: vllm.metric("edge_slots_busy") == 0, 30, vllm)
    wait_for(lambda: engine.busy() == 0, 30, vllm)


class EngineBehind:
    """The engine past the runner."""

    def __init__(self, port: int) -> None:
        self.port = port

    def busy(self) -> int:
        """How many requests it works on."""
        page = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        return int(float(next(line for line in page.splitlines() if "num_requests_running{" in line).split()[-1]))


def engine_of(node: RunningNode) -> EngineBehind:
    (leash,) = node.engines()
    arguments = leash.cmdline()
    return EngineBehind(int(arguments[arguments.index("--port") + 1]))


def test_how_an_engine_ended_is_read_from_what_it_said(tmp_path: Path) -> None:
    engine = Vllm(str(vllm_double.installed(tmp_path / "venv", "replay", str(RECORDING))))
    recorded = json.loads((RECORDING.parent / "vllm_ends.json").read_text())
    ended, limited = recorded["killed_core"], recorded["limit"]
    crash = engine.why_it_ended(ended["exit_code"], ended["lines"], oom_killed=False)
    assert crash.kind == "crash"
    assert "EngineCore encountered an issue" in crash.text
    assert engine.why_it_ended(ended["exit_code"], ended["lines"], oom_killed=True).kind == "out_of_memory"
    assert engine.why_it_ended(128 + signal.SIGKILL, [], oom_killed=False).text == "SIGKILL"
    shm = recorded["read_only_shm"]
    told = engine.why_it_ended(shm["exit_code"], shm["lines"], oom_killed=False).text
    assert told == "exit code 1: OSError: [Errno 30] Read-only file system: '/psm_c2acab17'"
    starved = engine.why_it_ended(limited["exit_code"], limited["lines"], oom_killed=False)
    assert starved.kind == "out_of_memory"
    assert "DefaultCPUAllocator" in starved.text


def test_nothing_of_the_engine_outlives_the_runner(tmp_path: Path, start_node: StartNode) -> None:
    command = vllm_double.installed(tmp_path / "venv", "replay", str(RECORDING))
    models = models_for_replay(tmp_path)
    node = start_node("--engine", "vllm", vllm=str(command), models_dir=str(models), **SETTINGS)
    tree = psutil.Process(node.process.pid).children(recursive=True)
    assert len(tree) >= 2
    node.process.kill()
    node.process.wait()
    psutil.wait_procs(tree, timeout=20)
    assert [one for one in tree if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
