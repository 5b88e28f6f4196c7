"""Prices, bounds, budgets, routes, plans and health: what must hold for every input."""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_gateway.domain.bounds import bound, measure
from inference_gateway.domain.budgets import (
    Budget,
    actual_amount,
    charges,
    exceeded,
    window_end,
    window_id,
    window_start,
)
from inference_gateway.domain.catalogue import Deployment, catalogue
from inference_gateway.domain.errors import CODES, GatewayError
from inference_gateway.domain.health import FAILURES_TO_OPEN, MAX_OPEN_SECONDS, OPEN_SECONDS, Health
from inference_gateway.domain.money import Price, Tokens, price_on
from inference_gateway.domain.plan import Need, Plan, Policy, plan, refusal
from inference_gateway.domain.routing import Route, read_provider_field, split_model
from inference_gateway.domain.usage import bill, tokens_of
from inference_gateway.store import manifests

prices = st.decimals(min_value=0, max_value=1000, places=5)
amounts = st.integers(min_value=0, max_value=10_000_000)


@st.composite
def tokens(draw: st.DrawFn) -> Tokens:
    given_ = draw(amounts)
    return Tokens(input=given_, output=draw(amounts), cached_input=draw(st.integers(0, given_)))


def price(given_: Decimal, cached: Decimal | None, made: Decimal) -> Price:
    """A price of these decimals."""
    return Price(Fraction(given_), Fraction(made), "list/1", cached_input=None if cached is None else Fraction(cached))


@given(prices, prices, prices, tokens())
def test_a_cost_is_the_exact_decimal_rounded_once_half_even(a: Decimal, b: Decimal, c: Decimal, used: Tokens) -> None:
    with localcontext() as context:
        context.prec = 60
        exact = (used.input - used.cached_input) * a + used.cached_input * b + used.output * c
        expected = int((exact * 1000).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    assert price(a, b, c).cost(used) == expected


@given(prices, st.none() | prices, prices, tokens(), amounts, amounts)
def test_no_cost_within_the_bounds_exceeds_the_bound(
    a: Decimal, b: Decimal | None, c: Decimal, used: Tokens, more_in: int, more_out: int
) -> None:
    most = Tokens(used.input + more_in, used.output + more_out)
    assert price(a, b, c).cost(used) <= price(a, b, c).bound(most)


def test_the_price_of_a_day_is_the_latest_that_has_begun_and_none_is_not_zero() -> None:
    first = Price(Fraction(1), Fraction(1), "first", since=date(2026, 1, 1))
    second = Price(Fraction(2), Fraction(2), "second", since=date(2026, 6, 1))
    assert price_on((second, first), date(2026, 5, 31)) is first
    assert price_on((second, first), date(2026, 6, 1)) is second
    assert price_on((second, first), date(2025, 12, 31)) is None
    assert bill(None, None, ended="answered", tokens=Tokens(1, 1)).nano_usd is None


@given(st.text(max_size=300), st.integers(1, 5), st.integers(0, 5000))
def test_a_prompt_never_has_more_tokens_than_its_bound(text: str, n: int, limit: int) -> None:
    import orjson

    clean = text.encode("utf-8", "ignore").decode()
    raw = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": clean}], "n": n, "max_tokens": limit})
    most = bound(measure(orjson.loads(raw), len(raw), images=0), None)
    assert most is not None
    assert most.input >= len(clean.encode())  # a byte-level token covers at least a byte
    assert most.output == limit * n


def test_an_answer_without_limit_is_bounded_by_the_model_or_not_at_all() -> None:
    size = measure({"prompt": ["a", "b"]}, 20, images=0)
    assert bound(size, None) is None
    most = bound(size, 100)
    assert most is not None
    assert most.output == 200


MOMENT = datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_moment_lies_in_its_window_and_the_end_begins_the_next(at: datetime) -> None:
    for window in ("minute", "day", "month"):
        begin, end = window_start(window, at), window_end(window, at)  # type: ignore[arg-type]
        assert begin is not None
        assert end is not None
        assert begin <= at < end
        assert window_id(window, begin) == window_id(window, at) != window_id(window, end)  # type: ignore[arg-type]


def budget(metric: Any, window: Any = "day", limit: int = 100) -> Budget:
    """A budget of a project."""
    return Budget("b1", "project", "p1", metric, window, limit)


def test_each_metric_charges_what_it_counts_and_keeps_what_was_used() -> None:
    of = [budget(metric) for metric in ("nano_usd", "tokens", "requests", "concurrency")]
    taken = charges(of, "c:", bound_nano_usd=900, bound=Tokens(50, 10), first_attempt=True, at=MOMENT)
    assert [charge.amount for charge in taken] == [900, 60, 1, 1]
    assert [actual_amount(charge, 300, 20) for charge in taken] == [300, 20, 1, 0]
    assert [actual_amount(charge, None, None) for charge in taken] == [900, 60, 1, 0]
    again = charges(of, "c:", bound_nano_usd=900, bound=Tokens(50, 10), first_attempt=False, at=MOMENT)
    assert [charge.amount for charge in again] == [900, 60, 0, 1]


def test_what_has_no_bound_is_refused_under_a_budget_and_names_max_tokens() -> None:
    with pytest.raises(GatewayError) as refused:
        charges([budget("nano_usd")], "c:", bound_nano_usd=None, bound=None, first_attempt=True, at=MOMENT)
    assert (refused.value.code, refused.value.param) == ("unbounded_cost", "max_tokens")
    assert charges([budget("requests")], "c:", bound_nano_usd=None, bound=None, first_attempt=True, at=MOMENT)


def test_a_used_up_budget_says_what_is_left_and_when_it_resets() -> None:
    error = exceeded(budget("nano_usd"), 70, 50, MOMENT)
    assert (error.status, error.retry_after_s) == (402, 30)
    assert error.extra["budget"]["left"] == 30
    assert error.extra["budget"]["resets_at"] == "2027-01-01T00:00:00Z"
    assert exceeded(budget("requests", "minute"), 100, 1, MOMENT).status == 429


def deployment(provider: str, **changes: Any) -> Deployment:
    """A deployment of `m` that does everything."""
    values: dict[str, Any] = {
        "provider": provider,
        "model": f"{provider}/m",
        "name": "m",
        "kind": "cloud",
        "base_url": "https://example.test",
        "features": frozenset({"chat", "completions", "logprobs"}),
        "prices": (Price(Fraction(1), Fraction(1), f"{provider}/1"),),
        "max_logprobs": 5,
    }
    return Deployment(**values | changes)


def need(**body: Any) -> Need:
    """What a chat with these parameters needs."""
    size = measure({"messages": [], "max_tokens": 10} | body, 100, images=0)
    return Need("chat", frozenset(body), frozenset(), 0, size)


def planned(deployments: list[Deployment], route: Route = Route(), policy: Policy = Policy(), **more: Any) -> Plan:  # noqa: B008
    return plan(
        deployments,
        more.get("need", need()),
        route,
        policy,
        more.get("health", {}),
        now=more.get("now", 100.0),
        unix_time=more.get("unix_time", 1000.0),
        today=date(2026, 11, 20),
    )


names = st.sampled_from(["a", "b", "c", "d", "e"])


@given(
    st.lists(names, unique=True, min_size=1),
    st.frozensets(names),
    st.frozensets(names),
    st.lists(names, unique=True).map(tuple),
    st.sampled_from(["fastest", "cheapest", "preferred", "throughput"]),
)
def test_every_deployment_is_a_candidate_or_ruled_out_once_and_no_rule_is_broken(
    providers: list[str], only: frozenset[str], ignore: frozenset[str], order: tuple[str, ...], sort: str
) -> None:
    made = planned([deployment(p) for p in providers], Route(sort=sort, only=only, ignore=ignore, order=order))
    chosen = [candidate.deployment.provider for candidate in made.candidates]
    assert sorted(chosen + [out.deployment.provider for out in made.ruled_out]) == sorted(providers)
    assert not set(chosen) & ignore
    assert not only or set(chosen) <= only
    ranks = [order.index(provider) if provider in order else len(order) for provider in chosen]
    assert ranks == sorted(ranks)


@given(st.lists(st.tuples(names, prices), unique_by=lambda pair: pair[0], min_size=2))
def test_cheapest_is_in_the_order_of_what_the_request_would_cost(listed: list[tuple[str, Decimal]]) -> None:
    of = [deployment(p, prices=(Price(Fraction(usd), Fraction(usd), p),)) for p, usd in listed]
    made = planned(of, Route(sort="cheapest"))
    costs = [candidate.price.cost(Tokens(1000, 1000)) for candidate in made.candidates if candidate.price]
    assert costs == sorted(costs)


def test_an_unpriced_model_is_called_only_where_the_project_allows_it() -> None:
    unpriced = deployment("a", prices=())
    made = planned([unpriced])
    assert [out.rule for out in made.ruled_out] == ["unpriced"]
    assert refusal("m", made, {}, 0).code == "model_unpriced"
    assert planned([unpriced], policy=Policy(allow_unpriced=True)).candidates[0].price is None


def test_a_parameter_that_a_provider_rejects_means_another_provider_or_an_error_that_names_both() -> None:
    strict, free = deployment("strict", rejects=frozenset({"seed"})), deployment("free")
    assert [c.deployment.provider for c in planned([strict, free], need=need(seed=1)).candidates] == ["free"]
    error = refusal("m", planned([strict], need=need(seed=1)), {}, 0)
    assert (error.code, error.param) == ("parameter_unsupported", "seed")
    assert "strict: rejects_seed" in error.message


def test_who_is_refused_comes_back_when_the_first_that_it_may_use_can_be_called() -> None:
    health = {deployment(name).id: Health(cooling_until=until) for name, until in (("a", 700.0), ("b", 400.0))}
    both = [deployment("a"), deployment("b")]
    assert refusal("m", planned(both, health=health), health, 100.0).retry_after_s == 300.0
    only_a = planned([*both, deployment("c")], Route(only=frozenset({"a"})), health=health)
    assert refusal("m", only_a, health, 100.0).retry_after_s == 600.0, "b and c are not for this request"


def test_a_node_whose_heart_has_stopped_is_ruled_out() -> None:
    node = deployment("node", kind="edge", beat_deadline=999.0)
    assert [out.rule for out in planned([node]).ruled_out] == ["heartbeat_stale"]
    assert planned([node], unix_time=998.0).candidates


def test_private_data_goes_to_nodes_only() -> None:
    made = planned([deployment("cloud"), deployment("node", kind="edge")], policy=Policy(private=True))
    assert [candidate.deployment.provider for candidate in made.candidates] == ["node"]


def test_a_model_name_with_colons_is_a_model_before_it_is_a_route() -> None:
    of = catalogue([deployment("a", model="vendor.m-v1:0", name="m")])
    assert split_model("vendor.m-v1:0", of)[1] == Route()
    assert split_model("vendor.m-v1:0:a", of)[1].only == {"a"}
    assert split_model("m:cheapest", of)[1].sort == "cheapest"
    assert split_model("m:edge", of)[1].edge_only
    with pytest.raises(GatewayError, match="neither a provider"):
        split_model("m:nobody", of)
    with pytest.raises(GatewayError) as unknown:
        split_model("other:a", of)
    assert unknown.value.code == "model_not_found"


@given(st.text(min_size=1).filter(lambda name: name not in {"order", "only", "ignore", "zdr", "sort"}))
def test_a_routing_field_that_is_not_known_is_an_error(name: str) -> None:
    of = catalogue([deployment("a")])
    known = {"allow_fallbacks", "require_parameters", "data_collection", "quantizations", "max_price"}
    if name in known or name.startswith("preferred_"):
        return
    with pytest.raises(GatewayError) as unknown:
        read_provider_field({name: 1}, Route(), of)
    assert unknown.value.code == "unknown_routing_field"


def test_a_circuit_opens_after_failures_lets_one_probe_through_and_closes_again() -> None:
    health = Health()
    for _ in range(FAILURES_TO_OPEN):
        assert health.refusal(0) is None
        health.begin(0)
        health.fail(0)
    assert health.refusal(1) == "circuit_open"
    later = OPEN_SECONDS + 1
    assert health.refusal(later) is None
    health.begin(later)
    assert health.refusal(later) == "circuit_open", "others wait for the probe"
    health.succeed(0.1, None)
    assert health.refusal(later) is None
    assert health.in_flight == 0


def test_a_circuit_may_open_again_for_weeks_and_is_probed_every_two_minutes() -> None:
    health, now = Health(), 0.0
    for _ in range(5_000):
        health.begin(now)
        health.fail(now)
        assert health.retry_in(now) <= MAX_OPEN_SECONDS
        now += health.retry_in(now)
    assert health.refusal(now) is None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda of: st.dictionaries(st.text(), of)))
def test_usage_is_understood_or_none_and_never_negative(usage: Any) -> None:
    found = tokens_of({"prompt_tokens": usage, "completion_tokens": usage})
    assert found is None or (found.input >= 0 and found.output >= 0 and found.cached_input <= found.input)


@pytest.mark.parametrize(
    ("ended", "reported", "outcome", "cost"),
    [
        ("answered", Tokens(10, 10), "ok", 20_000),
        ("answered", None, "uncertain", 99),
        ("cut", Tokens(10, 10), "cut", 20_000),
        ("cut", None, "uncertain", 99),
        ("client_gone", Tokens(10, 10), "client_gone", 20_000),
        ("refused", None, "error", 0),
        ("not_sent", None, "error", 0),
        ("lost", None, "uncertain", 99),
        ("timeout", None, "uncertain", 99),
    ],
)
def test_what_an_end_costs(ended: Any, reported: Tokens | None, outcome: str, cost: int) -> None:
    line = bill(Price(Fraction(1), Fraction(1), "l"), 99, ended=ended, tokens=reported)
    assert (line.outcome, line.nano_usd) == (outcome, cost)


def test_every_error_code_stands_in_the_reference_as_it_is() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/gateway-errors.md").read_text()
    lines = [f"| `{name}` | {code.status} | {code.meaning} |" for name, code in CODES.items()]
    assert [line for line in page.splitlines() if line.startswith("| `")] == lines


def test_the_shipped_provider_files_are_sound_and_say_where_their_facts_come_from() -> None:
    providers = manifests.load([manifests.shipped()], {})
    assert len(providers) >= 16
    for provider in providers.values():
        assert provider.deployments, provider.id
        assert {one.refuse for one in provider.deployments} <= {"no_credentials"}, "no key, no route"
        assert all(one.prices for one in provider.deployments), f"{provider.id} has an unpriced model"


def test_a_provider_file_that_is_wrong_is_named_with_its_field(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text('id = "odd"\ndisplay_name = "Odd"\nbase_url = "x"\ncolour = "blue"\n')
    with pytest.raises(manifests.BadManifest, match=r"odd\.toml: colour"):
        manifests.load([tmp_path], {})
