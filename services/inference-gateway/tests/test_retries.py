"""Tried again after a pause, within a deadline; and what one replica hears of a provider, every replica knows."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from shipjury_standalone.testing import wait_until

ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "sim-chat",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


class Moody:
    """A provider that answers with these statuses, one after the other, and then well."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.retry_after_s: int | None = None
        self.asked = 0
        self.url = ""

    async def complete(self, request: web.Request) -> web.Response:
        """One answer. A key that it refuses it says back, as some do."""
        self.asked += 1
        if self.statuses:
            status = self.statuses.pop(0)
            said = f"wrong key: {request.headers['Authorization']}" if status in (401, 403) else "not now"
            headers = {"Retry-After": str(self.retry_after_s)} if self.retry_after_s else {}
            return web.json_response({"error": {"message": said}}, status=status, headers=headers)
        return web.json_response(ANSWER)


@pytest_asyncio.fixture
async def moody() -> AsyncIterator[Moody]:
    """A provider in this process."""
    made = Moody()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield made
    await runner.cleanup()


async def over(start: Any, moody: Moody, simulator: str, **settings: Any) -> Any:
    """A gateway whose alpha is the moody provider."""
    return await start(change_providers={"alpha": (f"{simulator}/alpha/v1", moody.url)}, **settings)


async def test_a_failure_that_cost_nothing_is_tried_again_at_the_same_provider(
    start: Any, moody: Moody, simulator: str
) -> None:
    gateway = await over(start, moody, simulator)
    moody.statuses = [503, 429]
    status, answer, headers = await gateway.chat()
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "yes")
    assert headers["x-shipjury-attempts"] == "3"
    assert [row["outcome"] for row in await gateway.ledger()] == ["error", "error", "ok"]


async def test_a_refusal_of_the_request_itself_is_not_tried_again(start: Any, moody: Moody, simulator: str) -> None:
    gateway = await over(start, moody, simulator)
    moody.statuses = [400]
    assert (await gateway.chat())[0] == 400
    assert moody.asked == 1


async def test_retries_end_with_their_number_and_with_the_deadline_of_the_request(
    start: Any, moody: Moody, simulator: str
) -> None:
    gateway = await over(start, moody, simulator, retries=1)
    moody.statuses = [503] * 9
    status, answer, _ = await gateway.chat()
    assert (status, len(answer["error"]["attempts"])) == (502, 2)
    hurried = await over(start, moody, simulator, retries=9, max_attempts=50, request_seconds=0.05)
    moody.statuses = [503] * 99
    asked = moody.asked
    async with asyncio.timeout(5):
        assert (await hurried.chat())[0] in (502, 503, 504)
    assert moody.asked - asked < 5


@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_refused_are_not_tried_again_nor_said_back(
    start: Any, moody: Moody, simulator: str, status: int
) -> None:
    gateway = await over(start, moody, simulator)
    moody.statuses = [status] * 2
    answer = await gateway.chat()
    assert (answer[0], moody.asked) == (502, 1)
    assert "refused the gateway's credentials" in answer[1]["error"]["message"]
    assert answer[1]["error"]["provider_error"].startswith("wrong key:")
    assert "alpha-secret" not in repr(answer)
    assert (await gateway.chat(model="sim-chat", provider={"order": ["alpha"]}))[0] == 200, "others serve the model"


async def test_enough_failures_open_the_circuit_of_that_provider_and_model_only(
    start: Any, moody: Moody, simulator: str
) -> None:
    gateway = await over(start, moody, simulator, retries=0)
    moody.statuses = [500] * 9
    for _ in range(5):
        assert (await gateway.chat())[0] == 502
    status, answer, headers = await gateway.chat()
    assert (status, answer["error"]["code"], answer["error"]["ruled_out"][0]["rule"]) == (
        503,
        "no_provider_available",
        "circuit_open",
    )
    assert "retry-after" in headers
    assert moody.asked == 5
    assert (await gateway.chat(model="sim-chat"))[0] == 200, "others serve the model"


async def test_what_a_provider_asks_of_one_replica_every_replica_keeps(
    start: Any, moody: Moody, simulator: str
) -> None:
    one, other = await over(start, moody, simulator), await over(start, moody, simulator)
    moody.statuses, moody.retry_after_s = [429], 600
    status, _, headers = await one.chat()
    assert (status, headers["retry-after"]) == (429, "600")
    route = {"order": ["alpha", "beta"], "ignore": ["gamma"]}
    for _ in ("as Redis knows it", "as the replica knows it by now"):
        status, answer, headers = await other.chat()
        assert (status, answer["error"]["code"]) == (503, "no_provider_available")
        assert 500 < int(headers["retry-after"]) <= 600
    status, _, headers = await other.chat(model="sim-chat", provider=route)
    assert (status, headers["x-shipjury-provider"]) == (200, "beta")
    assert moody.asked == 1, "alpha was left alone"


async def test_when_all_fail_the_client_may_come_back_for_the_first_that_may_be_well(
    start: Any, moody: Moody, simulator: str
) -> None:
    gateway = await over(start, moody, simulator, retries=0)
    moody.statuses, moody.retry_after_s = [429], 600
    route = {"order": ["beta", "alpha"], "ignore": ["gamma"]}
    status, answer, headers = await gateway.chat("fault=503@beta", model="sim-chat", provider=route)
    assert [one["provider"] for one in answer["error"]["attempts"]] == ["beta", "alpha"]
    assert (status, headers["retry-after"]) == (429, "1"), "alpha is away for 600 s, and beta is not"


async def test_a_provider_is_asked_again_by_every_replica_when_its_time_is_over(
    start: Any, moody: Moody, simulator: str
) -> None:
    replicas = await over(start, moody, simulator, retries=0), await over(start, moody, simulator, retries=0)
    moody.statuses, moody.retry_after_s = [429], 1
    assert (await replicas[0].chat())[0] == 429
    for replica in replicas:

        async def again(replica: Any = replica) -> bool:
            return bool((await replica.chat())[0] == 200)

        await wait_until(again)


async def test_without_redis_a_key_under_no_budget_goes_on_and_is_ledgered_when_redis_is_back(start: Any) -> None:
    gateway = await start(admission_seconds=0.3)
    await gateway.pipe.call("CLIENT", "PAUSE", 1500, "ALL")
    async with asyncio.timeout(5):
        status, _, _ = await gateway.chat()
    assert status == 200
    rows: list[dict[str, Any]] = []

    async def ledgered() -> bool:
        rows[:] = await gateway.ledger()
        return bool(rows)

    await wait_until(ledgered)
    assert [row["cost_nano_usd"] for row in rows] == [line["nano_usd"] for line in await gateway.account()]
