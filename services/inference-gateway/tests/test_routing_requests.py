"""Routing as a client sees it: where a request went, why, and what its project's policy forbids."""

from types import SimpleNamespace
from typing import Any

from inference_gateway.api.trying import answer_headers
from inference_gateway.domain.catalogue import Deployment
from inference_gateway.domain.ordering import Candidate
from inference_gateway.domain.plan import Plan, RuledOut
from inference_gateway.store import accounts


async def test_headers_and_the_requests_page_say_where_it_went_and_why(gateway: Any) -> None:
    status, _, headers = await gateway.chat(
        model="sim-chat:cheapest", logit_bias={"1": 1}, provider={"ignore": ["beta"]}
    )
    assert (status, headers["x-shipjury-provider"], headers["x-shipjury-sort"]) == (200, "gamma", "cheapest")
    assert headers["x-shipjury-ruled-out"] == "alpha=rejects_logit_bias, beta=ignored"
    await gateway.ledger()
    _, told = await gateway.get(f"/v1/requests/{headers['x-shipjury-request-id']}")
    assert told["plan"]["candidates"] == ["gamma/gamma-sim-chat"]
    assert {(out["provider"], out["rule"]) for out in told["plan"]["ruled_out"]} == {
        ("alpha", "rejects_logit_bias"),
        ("beta", "ignored"),
    }
    [attempt] = told["attempts"]
    assert 0 < attempt["cost_nano_usd"] <= attempt["bound_nano_usd"]


def test_a_parameter_of_the_clients_own_invention_can_not_write_headers() -> None:
    one = Deployment("a", "a/m", "m", "cloud", "https://x.test", frozenset({"chat"}))
    rule = "rejects_x\r\nset-cookie: stolen=1\u00e9" + "x" * 5000
    made = Plan((), (RuledOut(one, "parameter", rule),), "fastest")
    headers = answer_headers(SimpleNamespace(named=[], made=made), Candidate(one, None), 0, hedge=False)  # type: ignore[arg-type]
    told = dict(headers)[b"x-shipjury-ruled-out"]
    assert told.startswith(b"a=rejects_x??set-cookie: stolen=1?xxx")
    assert len(told) <= 1000


async def test_a_projects_regions_hold_and_a_request_may_only_narrow_them(start: Any) -> None:
    gateway = await start(change_providers={"beta": ("display_name", 'region = "eu"\ndisplay_name')})
    await gateway.change(accounts.change_project, "panel", regions=["eu"])
    status, _, headers = await gateway.chat(model="sim-chat")
    assert (status, headers["x-shipjury-provider"]) == (200, "beta")
    assert headers["x-shipjury-ruled-out"] == "alpha=other_region, gamma=other_region"
    status, answer, _ = await gateway.chat(model="sim-chat", provider={"regions": ["us"]})
    assert (status, {out["rule"] for out in answer["error"]["ruled_out"]}) == (400, {"other_region"})


async def test_private_data_and_zero_retention_are_refused_where_nobody_promises_them(gateway: Any) -> None:
    for wish, rule in (({"data": "private"}, "data_is_private"), ({"zdr": True}, "no_zero_data_retention")):
        status, answer, _ = await gateway.chat(model="sim-chat", provider=wish)
        assert (status, {out["rule"] for out in answer["error"]["ruled_out"]}) == (400, {rule})
    await gateway.change(accounts.change_project, "panel", zdr=True)
    assert (await gateway.chat(model="sim-chat"))[0] == 403
    assert await gateway.account() == []


async def test_cheapest_stays_where_the_prompt_is_cached(start: Any) -> None:
    gateway = await start(change_providers={"beta": ('input = "0.0375"\ncached_input = "0.0375"', 'input = "0.58"')})
    prompt = "cached " + "word " * 400
    body = {"model": "sim-chat", "max_tokens": 5, "stream": False}
    _, _, cold = await gateway.chat(prompt, **body, provider={"sort": "cheapest"})
    assert cold["x-shipjury-provider"] == "beta"
    await gateway.chat(prompt, **body, provider={"sort": "cheapest", "only": ["alpha"]})
    _, _, warm = await gateway.chat(prompt, **body, provider={"sort": "cheapest"})
    assert warm["x-shipjury-provider"] == "alpha"
    _, _, other = await gateway.chat("another " + prompt, **body, provider={"sort": "cheapest"})
    assert other["x-shipjury-provider"] == "beta"


async def test_affinity_sends_a_conversation_to_one_provider(gateway: Any) -> None:
    first = {"role": "user", "content": "a question"}
    turns = [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and?"}]
    went = set()
    for count in range(3):
        _, _, headers = await gateway.chat(model="sim-chat:affinity", messages=[first, *turns * count])
        went.add(headers["x-shipjury-provider"])
    assert len(went) == 1
