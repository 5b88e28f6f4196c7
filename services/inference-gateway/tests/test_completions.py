"""The two completion routes, streaming and not, and what the ledger says of them."""

from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError
from prometheus_client import REGISTRY

from inference_gateway.store import accounts
from shipjury_standalone.testing import wait_until


async def test_a_chat_answer_comes_through_and_is_billed_as_the_provider_bills_it(gateway: Any) -> None:
    status, answer, headers = await gateway.chat("hello there")
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"].startswith("the jury")
    [row] = await gateway.ledger()
    [line] = await gateway.account()
    assert (row["cost_nano_usd"], row["outcome"]) == (line["nano_usd"], "ok")
    assert row["attempt_id"] == line["attempt_id"]
    assert headers["x-shipjury-provider"] == "alpha"
    assert int(headers["x-shipjury-cost-nano-usd"]) == line["nano_usd"]
    assert headers["x-shipjury-request-id"] == row["request_id"]


async def test_a_stream_comes_through_in_order_ends_with_done_and_is_billed(gateway: Any) -> None:
    status, text, _ = await gateway.chat("words=5", stream=True)
    assert status == 200
    assert text.count("data: ") == 7  # five words, the finish, [DONE]; the gateway's own usage event is taken out
    assert text.endswith("data: [DONE]\n\n")
    [row] = await gateway.ledger()
    [line] = await gateway.account()
    assert row["cost_nano_usd"] == line["nano_usd"] > 0
    assert row["output_tokens"] == 5


async def test_the_openai_client_chats_streams_lists_and_reads_errors(gateway: Any) -> None:
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    answer = await client.chat.completions.create(model="sim-chat", messages=[{"role": "user", "content": "hi"}])
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    stream = await client.chat.completions.create(
        model="sim-chat",
        messages=[{"role": "user", "content": "words=4"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "the jury has read "
    assert chunks[-1].usage is not None
    plain = await client.completions.create(model="sim-chat", prompt="This is a big", max_tokens=1, logprobs=1000)
    assert plain.choices[0].logprobs is not None
    tops = plain.choices[0].logprobs.top_logprobs
    assert tops is not None
    assert len(tops[0]) == 1000
    models = [model.id async for model in client.models.list()]
    assert models == ["sim-chat"]
    assert (await client.models.retrieve("sim-chat")).id == "sim-chat"
    with pytest.raises(NotFoundError, match="no provider has a model `gpt-9`") as unknown:
        await client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "hi"}])
    assert unknown.value.code == "model_not_found"
    with pytest.raises(BadRequestError) as rejected:
        await client.chat.completions.create(model="sim-chat:beta", messages=[{"role": "user", "content": "hi"}], n=2)
    assert (rejected.value.code, rejected.value.param) == ("parameter_unsupported", "n")
    with pytest.raises(APIError, match="fell over"):
        async for _ in await client.chat.completions.create(
            model="sim-chat:alpha", messages=[{"role": "user", "content": "fault=error-event"}], stream=True
        ):
            pass
    with pytest.raises(AuthenticationError):
        await client.with_options(api_key="sk-sj-wrong").models.list()


async def test_a_key_works_until_it_is_revoked(gateway: Any) -> None:
    key_id, key = await gateway.change(accounts.make_key, "panel", "second")
    assert (await gateway.chat(key=key))[0] == 200
    from datetime import UTC, datetime

    await gateway.change(accounts.revoke_key, key_id, at=datetime.now(UTC))
    status, answer, _ = await gateway.chat(key=key)
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")


async def test_a_key_may_be_held_to_models_and_providers(gateway: Any) -> None:
    _, key = await gateway.change(accounts.make_key, "panel", "narrow", providers=("beta",))
    assert (await gateway.chat(model="sim-chat", key=key))[2]["x-shipjury-provider"] == "beta"
    status, answer, _ = await gateway.chat(model="sim-chat:alpha", key=key)
    assert (status, answer["error"]["code"]) == (403, "model_not_allowed")


async def test_the_way_of_a_request_is_explained(gateway: Any) -> None:
    _, _, headers = await gateway.chat("hello", model="sim-chat", logprobs=True, top_logprobs=5)
    await gateway.ledger()
    status, told = await gateway.get(f"/v1/requests/{headers['x-shipjury-request-id']}")
    assert status == 200
    assert {"provider": "beta", "model": "beta/sim-chat", "rule": "no_logprobs"} in told["plan"]["ruled_out"]
    assert told["attempts"][0]["outcome"] == "ok"
    assert told["cost_nano_usd"] == told["attempts"][0]["cost_nano_usd"]


async def test_usage_sums_the_ledger(gateway: Any) -> None:
    for _ in range(3):
        await gateway.chat("hello")
    await gateway.ledger()
    status, told = await gateway.get("/v1/usage?group_by=provider,model")
    lines = await gateway.account()
    assert status == 200
    [row] = told["data"]
    assert row["requests"] == 3
    assert row["cost_nano_usd"] == sum(line["nano_usd"] for line in lines)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"messages": "x"}, 400, "missing_parameter", "model"),
        ({"model": "sim-chat"}, 400, "missing_parameter", "messages"),
        ({"model": "sim-chat", "messages": [], "max_tokens": -1}, 400, "invalid_parameter", "max_tokens"),
        ({"model": "sim-chat", "messages": [], "stream": "yes"}, 400, "invalid_parameter", "stream"),
        ({"model": "sim-chat:nobody", "messages": []}, 400, "provider_not_found", "model"),
        ({"model": "sim-chat", "messages": [], "provider": {"fast": 1}}, 400, "unknown_routing_field", "provider.fast"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(
    gateway: Any, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    got, answer, _ = await gateway.post(**body)
    assert (got, answer["error"]["code"], answer["error"]["param"]) == (status, code, param)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_body_that_is_nested_too_deep_is_refused_and_no_error_of_ours(gateway: Any, path: str) -> None:
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
    hello = b'{"role":"user","content":"hello"}'
    for levels in (190, 300, 900, 5000):
        deep = b'{"a":' * levels + b"1" + b"}" * levels
        body = b'{"model":"sim-chat:alpha","messages":[%b],"input":[%b],"metadata":%b}' % (hello, hello, deep)
        async with gateway.session.post(gateway.url + path, data=body, headers=headers) as response:
            told = await response.text()
        assert response.status == 400, told  # the least deep one for its metadata
        assert ("nested deeper than 200 levels" in told or "not JSON" in told) == (levels > 200), told


async def test_many_brackets_are_not_many_levels(gateway: Any) -> None:
    status, answer, _ = await gateway.chat("[{" * 500)
    assert status == 200, answer


async def test_a_body_over_the_limit_is_refused_before_it_is_read(start: Any) -> None:
    gateway = await start(max_body_bytes=2048)
    status, answer, _ = await gateway.chat("x" * 4096)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


async def test_settings_under_which_no_large_body_finds_room_are_refused(start: Any) -> None:
    with pytest.raises(ValueError, match=r"GATEWAY_BODIES_BYTES is 2048, less than one body of GATEWAY_MAX_BODY_BYTES"):
        await start(bodies_bytes=2048)


async def test_all_bodies_together_have_a_bound_and_small_ones_find_room_afterwards(start: Any) -> None:
    gateway = await start(max_body_bytes=600_000, bodies_bytes=1_000_000, drain_seconds=0.1)
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    asked = [{"role": "user", "content": "fault=slow words=900 " + "x" * 400_000}]
    streams = [
        await client.chat.completions.create(model="sim-chat:alpha", messages=asked, stream=True) for _ in range(2)
    ]
    status, answer, headers = await gateway.chat("x" * 300_000)
    assert (status, answer["error"]["code"], headers["retry-after"]) == (429, "gateway_overloaded", "1")
    assert (await gateway.chat())[0] == 200, "there is room for a small one"
    for stream in streams:
        await stream.close()

    async def there_is_room() -> bool:
        return (await gateway.chat("x" * 300_000))[0] == 200

    await wait_until(there_is_room)


async def test_embeddings_single_and_batched_are_billed_by_their_input(gateway: Any) -> None:
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    one = await client.embeddings.create(model="sim-chat", input="hello there", encoding_format="float")
    two = await client.embeddings.create(model="sim-chat", input=["hello", "there"], encoding_format="float")
    assert (len(one.data), len(two.data)) == (1, 2)
    rows, lines = await gateway.ledger(), await gateway.account()
    assert [row["cost_nano_usd"] for row in rows] == [line["nano_usd"] for line in lines]
    assert [row["output_tokens"] for row in rows] == [0, 0]


async def test_a_ledger_row_has_its_event_and_the_cost_centre_that_the_client_named(gateway: Any) -> None:
    import sqlalchemy as sa

    await gateway.chat(headers={"X-Shipjury-Cost-Centre": "jury"})
    [row] = await gateway.ledger()
    assert row["cost_centre"] == "jury"
    async with gateway.engine.connect() as connection:
        found = await connection.execute(sa.text("SELECT topic, key FROM outbox"))
        assert found.all() == [("inference.usage.v1", row["project_id"])]


async def test_the_ledger_tells_whether_the_same_was_asked_before_and_not_what(gateway: Any) -> None:
    for text, more in (("words=3", {}), ("words=3", {"temperature": 0.5, "stream": True}), ("words=4", {})):
        assert (await gateway.chat(text, **more))[0] == 200
    first, second, third = [row["prompt_hash"] for row in await gateway.ledger()]
    assert first == second != third
    assert len(first) == len(third) == 16


async def test_what_prometheus_is_told_is_what_the_ledger_holds(gateway: Any) -> None:
    whose = {"provider": "alpha", "model": "sim-chat"}
    asked = [
        ("shipjury_gateway_attempts_total", whose | {"outcome": "ok"}),
        ("shipjury_gateway_tokens_total", whose | {"kind": "input"}),
        ("shipjury_gateway_tokens_total", whose | {"kind": "output"}),
        ("shipjury_gateway_cost_nano_usd_total", whose),
    ]

    def told() -> list[float]:
        return [REGISTRY.get_sample_value(name, labels) or 0.0 for name, labels in asked]

    before = told()
    assert (await gateway.chat("words=3"))[0] == 200
    assert (await gateway.chat("words=4", stream=True))[0] == 200
    rows = await gateway.ledger()
    assert [after - first for after, first in zip(told(), before, strict=True)] == [
        2,
        sum(row["input_tokens"] for row in rows),
        sum(row["output_tokens"] for row in rows),
        sum(row["cost_nano_usd"] for row in rows),
    ]
