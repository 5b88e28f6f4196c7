"""The client of the gateway: every wrong answer is a clear error that is tried again, never a reading."""

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
import pytest_asyncio

from panel import gateway as client
from panel.domain.exam import exam_id
from panel.domain.tone import FRAMES, difference
from panel.gateway import Gateway, GatewayAway, GatewayRefused, NothingAnswered, TooFewLogprobs, TooLate, connect

from .fake_gateway import KEY, MODEL, FakeGateway, fake_gateway


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as started:
        yield started


@pytest_asyncio.fixture
async def gateway(fake: FakeGateway) -> AsyncIterator[Gateway]:
    async with connect(
        fake.url, KEY, MODEL, deadline=timedelta(milliseconds=300), attempts=2, concurrency=3
    ) as connected:
        yield connected


PROMPT = FRAMES[0].prompt("It runs offline.")


async def test_a_reading_comes_with_request_id_and_cost(gateway: Gateway) -> None:
    answer = await gateway.next_token(PROMPT)
    assert len(answer.chances) == 1000
    assert difference(FRAMES[0], answer.chances) > 2
    assert (answer.request_id, answer.cost_nano_usd) == ("req-1", 7)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("empty", NothingAnswered),
        ("none", NothingAnswered),
        ("garbage", NothingAnswered),
        ("few", TooFewLogprobs),
        ("late", TooLate),
        ("away", GatewayAway),
    ],
)
async def test_a_wrong_answer_is_asked_for_again_and_then_an_error(
    fake: FakeGateway, gateway: Gateway, fault: str, error: type[Exception]
) -> None:
    fake.faults = [fault]
    assert len((await gateway.next_token(PROMPT)).chances) == 1000
    assert fake.asked[PROMPT] == 2
    fake.faults = [fault, fault]
    with pytest.raises(error):
        await gateway.next_token(PROMPT)
    assert fake.asked[PROMPT] == 4


async def test_a_refusal_is_not_asked_again_and_says_why(fake: FakeGateway, gateway: Gateway) -> None:
    fake.faults = ["refused"]
    with pytest.raises(GatewayRefused, match="the budget is spent"):
        await gateway.next_token(PROMPT)
    assert fake.asked[PROMPT] == 1


async def test_a_gateway_that_is_not_there_is_away() -> None:
    async with connect(
        "http://127.0.0.1:9/v1", KEY, MODEL, deadline=timedelta(seconds=1), attempts=1, concurrency=1
    ) as nobody:
        with pytest.raises(GatewayAway):
            await nobody.next_token(PROMPT)


async def test_the_judge_is_named_by_weights_and_engine(fake: FakeGateway, gateway: Gateway) -> None:
    judge = await gateway.identify()
    assert (judge.model, judge.weights, judge.engine) == (MODEL, fake.weights, "fake engine 1; kv f16")


async def test_a_gateway_that_describes_no_weights_still_names_the_judge(fake: FakeGateway, gateway: Gateway) -> None:
    described = await gateway.identify()
    fake.describes = False
    judge = await gateway.identify()
    assert judge.weights == fake.weights[:16]
    assert exam_id(judge, "frames") == exam_id(described, "frames")


async def test_settings_name_what_the_gateway_does_not(gateway: Gateway) -> None:
    judge = await gateway.identify(weights="by hand", engine="mine")
    assert (judge.weights, judge.engine) == ("by hand", "mine")


async def test_the_shape_of_llama_cpps_own_server_is_read_too() -> None:
    entries = [{"token": " advantage", "logprob": -1.0}, {"token": " disadvantage", "logprob": -2.0}]
    chances = client._chances({"content": [{"top_logprobs": entries}]})
    assert difference(FRAMES[0], chances) == pytest.approx(1.0)


async def test_connections_are_closed_with_the_client(fake: FakeGateway) -> None:
    async with connect(fake.url, KEY, MODEL, deadline=timedelta(seconds=1), attempts=1, concurrency=1) as connected:
        session: aiohttp.ClientSession = connected._session
    assert session.closed
