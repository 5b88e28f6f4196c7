"""The OpenAI surface, driven by OpenAI's own client against the real engine."""

import math
from collections.abc import Iterator

import httpx
import openai
import psutil
import pytest

from .conftest import MODEL, RunningNode

pytestmark = pytest.mark.timeout(300)

FACT = "About a software tool: It is open source and free. This is a big"


@pytest.fixture
def client(node: RunningNode) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=node.base_url, api_key="a-token", max_retries=0) as made:
        yield made


def test_the_list_of_models_says_what_the_node_serves(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == MODEL
    assert model.model_extra is not None
    assert model.model_extra["max_logprobs"] == 1000
    assert model.model_extra["licence"] == "Apache-2.0"
    assert client.models.retrieve(MODEL).id == MODEL


def test_a_chat_is_answered_whole(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Say hello."}], max_tokens=8, temperature=0
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_a_chat_is_streamed_with_the_same_text_and_its_usage(client: openai.OpenAI) -> None:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Count to three."}], "max_tokens": 8}
    whole = client.chat.completions.create(**asked, temperature=0)
    chunks = list(
        client.chat.completions.create(**asked, temperature=0, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


def test_chat_log_probabilities_come_with_the_asked_number_of_alternatives(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=2, logprobs=True, top_logprobs=5
    )
    assert answer.choices[0].logprobs is not None
    assert [len(token.top_logprobs) for token in answer.choices[0].logprobs.content or ()] == [5, 5]


def test_a_completion_carries_a_thousand_log_probabilities_in_the_legacy_shape(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=FACT, max_tokens=1, temperature=0, logprobs=1000)
    scored = answer.choices[0].logprobs
    assert scored is not None
    assert scored.top_logprobs is not None
    assert scored.token_logprobs is not None
    (top,) = scored.top_logprobs
    assert 990 <= len(top) <= 1000  # tokens of the same text are summed
    mass = sum(math.exp(value) for value in top.values())
    assert 0.5 < mass <= 1.0001
    assert scored.tokens == [answer.choices[0].text] == [max(top, key=lambda text: top[text])]
    assert " advantage" in top


def test_asked_for_no_alternatives_the_chosen_token_still_has_its_log_probability(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=FACT, max_tokens=2, temperature=0, logprobs=0)
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.top_logprobs is None
    assert len(answer.choices[0].logprobs.token_logprobs or ()) == 2


def test_a_completion_is_streamed_with_offsets_that_fit_its_text(client: openai.OpenAI) -> None:
    text, offsets = "", []
    for chunk in client.completions.create(
        model=MODEL, prompt=FACT, max_tokens=6, temperature=0, logprobs=2, stream=True
    ):
        for choice in chunk.choices:
            text += choice.text
            offsets += (choice.logprobs.text_offset or []) if choice.logprobs else []
    assert len(offsets) == 6
    assert offsets == sorted(offsets)
    assert offsets[-1] < len(text)


def test_one_token_log_probabilities_are_the_same_every_time(client: openai.OpenAI) -> None:
    """Judging depends on it: the same prompt, with another one between, gives the same figures."""
    seen = []
    for prompt in (FACT, FACT.replace("free", "costly"), FACT, FACT):
        answer = client.completions.create(model=MODEL, prompt=prompt, max_tokens=1, temperature=0, logprobs=100)
        assert answer.choices[0].logprobs is not None
        seen.append((answer.choices[0].logprobs.top_logprobs or [{}])[0])
    assert seen[0] != seen[1]
    for again in seen[2:]:
        assert set(seen[0]) == set(again)
        assert max(abs(seen[0][text] - again[text]) for text in seen[0]) < 0.02


def test_a_stop_sequence_ends_the_text_before_it(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt="1 2 3 4", max_tokens=16, temperature=0, stop=["7"])
    assert "7" not in answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"


def test_a_seed_makes_sampling_repeatable(client: openai.OpenAI) -> None:
    texts = {
        client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=8, temperature=1, seed=7)
        .choices[0]
        .text
        for _ in range(2)
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("/completions", {"prompt": "x", "colour": "red"}, 400, "unknown_parameter", "colour"),
        ("/completions", {"prompt": "x", "n": 2}, 400, "unsupported_parameter", "n"),
        ("/completions", {"prompt": "x", "echo": True}, 400, "unsupported_parameter", "echo"),
        ("/completions", {"prompt": ["x", "y"]}, 400, "unsupported_parameter", "prompt"),
        ("/completions", {"prompt": ""}, 400, "invalid_parameter", "prompt"),
        ("/completions", {"prompt": "x", "logprobs": 1001}, 400, "invalid_parameter", "logprobs"),
        ("/completions", {"prompt": "x", "temperature": -1}, 400, "invalid_parameter", "temperature"),
        ("/completions", {"prompt": "x", "model": "gpt-9"}, 404, "model_not_found", "model"),
        ("/chat/completions", {"messages": []}, 400, "invalid_parameter", "messages"),
        (
            "/chat/completions",
            {"messages": [{"role": "fool", "content": "x"}]},
            400,
            "unsupported_parameter",
            "messages.0.role",
        ),
        (
            "/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            400,
            "unsupported_content",
            "messages.0.content",
        ),
        ("/nowhere", {}, 404, "not_found", None),
    ],
)
def test_a_bad_request_is_refused_by_name(
    node: RunningNode, path: str, body: dict[str, object], status: int, code: str, param: str | None
) -> None:
    answer = node.post(path, **body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_body_that_is_no_json_is_refused(node: RunningNode) -> None:
    answer = httpx.post(
        node.base_url + "/completions", content=b"{", headers=node.headers | {"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(node: RunningNode, stream: bool) -> None:
    answer = node.post("/completions", prompt="word " * 3000, max_tokens=5, stream=stream)
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["prompt_tokens"] > 2900
    assert error["context_tokens"] == 2048
    chat = node.post("/chat/completions", messages=[{"role": "user", "content": "hi"}], max_tokens=2048, stream=stream)
    assert (chat.status_code, chat.json()["error"]["max_tokens"]) == (413, 2048)


def test_a_caller_without_the_token_is_told_nothing(node: RunningNode) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = httpx.get(node.base_url + "/models", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_token"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_not_kept(node: RunningNode, chunked: bool) -> None:
    """Whether its length is said or not."""
    piece, most, runner = b" " * 65536, 8 * 1024 * 1024, psutil.Process(node.process.pid)
    before, grown = runner.memory_info().rss, 0

    def body() -> Iterator[bytes]:
        nonlocal grown
        for _ in range(16 * most // len(piece)):
            yield piece
            grown = max(grown, runner.memory_info().rss - before)

    headers = node.headers | ({} if chunked else {"Content-Length": str(16 * most)})
    answer = httpx.post(node.base_url + "/chat/completions", content=body(), headers=headers, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"
    assert "8,388,608 bytes" in answer.json()["error"]["message"]
    assert grown < 4 * most


@pytest.mark.parametrize("levels", [190, 300, 900, 5000])
def test_a_body_that_is_nested_too_deep_is_refused_and_no_error_of_ours(node: RunningNode, levels: int) -> None:
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    body = b'{"model":"%b","max_tokens":1,"messages":[{"role":"user","content":"hi","x":%b}]}' % (MODEL.encode(), deep)
    headers = node.headers | {"content-type": "application/json"}
    answer = httpx.post(node.base_url + "/chat/completions", content=body, headers=headers, timeout=60)
    assert answer.status_code == (200 if levels < 200 else 400), answer.text
    if levels < 1000:  # Python's own parser reads no deeper
        assert ("the body is nested deeper than 200 levels" in answer.text) == (levels > 200)


def test_a_wrong_method_is_said_in_the_same_shape(node: RunningNode) -> None:
    answer = httpx.get(node.base_url + "/chat/completions", headers=node.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
