"""Embeddings: what may be asked, in which encoding they come back, and what they are bounded by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from inference_gateway.domain import embedding
from inference_gateway.domain.bounds import bound, measure
from inference_gateway.domain.errors import GatewayError


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_packing_loses_nothing_of_a_32_bit_float(vector: list[float]) -> None:
    assert embedding.unpack(embedding.pack(vector)) == vector


@pytest.mark.parametrize("asked", ["a text", ["two", "texts"], [1, 2, 3], [[1, 2], [3]]])
def test_texts_and_tokens_single_and_batched_may_be_asked(asked: Any) -> None:
    embedding.check({"input": asked, "encoding_format": "base64", "dimensions": 256})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["text", 3]}, "input"),
        ({"input": [[1], []]}, "input"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "dimensions": True}, "dimensions"),
    ],
)
def test_what_is_no_request_for_embeddings_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        embedding.check(body)
    assert (refused.value.code, refused.value.param) == ("invalid_parameter", param)


@pytest.mark.parametrize("vectors", [[[0.5, -1.0]], ["AAAAPwAAgL8="]])
def test_vectors_come_in_the_encoding_that_was_asked_for(vectors: list[Any]) -> None:
    for asked, expected in (("float", [0.5, -1.0]), ("base64", "AAAAPwAAgL8=")):
        answer = {"data": [{"embedding": vector} for vector in vectors]}
        embedding.as_asked({"input": "x", "encoding_format": asked, "dimensions": 2}, answer)
        assert answer["data"][0]["embedding"] == expected


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"input": "x"}, []),
        ({"input": ["x", "y"]}, [{"embedding": [1.0]}]),
        ({"input": "x", "dimensions": 3}, [{"embedding": [1.0]}]),
        ({"input": "x", "encoding_format": "base64"}, [{"embedding": ["1"]}]),
        ({"input": "x"}, [{"embedding": "no base64!"}]),
    ],
)
def test_vectors_that_are_not_what_was_asked_for_are_no_answer(body: dict[str, Any], data: list[Any]) -> None:
    with pytest.raises(embedding.NotAsAsked):
        embedding.as_asked(body, {"data": data})


def test_embeddings_are_bounded_by_their_input_alone() -> None:
    most = bound(measure({"model": "m", "input": ["a", "b"]}, 60, images=0), None)
    assert most is not None
    assert (most.output, most.input >= 60) == (0, True)


async def test_a_budget_of_tokens_admits_embeddings_and_counts_what_they_took(gateway: Any) -> None:
    await gateway.budget(2000, metric="tokens")
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    answer = await client.embeddings.create(model="sim-chat", input=["hello", "there"], dimensions=4)
    assert [len(item.embedding) for item in answer.data] == [4, 4]
    [row] = await gateway.ledger()
    assert list((await gateway.counters()).values()) == [row["input_tokens"]] == [answer.usage.prompt_tokens]


async def test_a_provider_that_knows_no_encoding_is_packed_for(start: Any) -> None:
    gateway = await start(change_providers={"alpha": ('rejects = ["logit_bias"', 'rejects = ["encoding_format"')})
    status, answer, _ = await gateway.post("/v1/embeddings", model="sim-chat", input="hello", encoding_format="base64")
    assert status == 200, answer
    assert embedding.unpack(answer["data"][0]["embedding"]) == pytest.approx([0.1, 0.2])
