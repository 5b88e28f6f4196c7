"""Who may serve a request, and in which order: what holds for every set of deployments, routes and measurements."""

from collections import Counter
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_gateway.domain.affinity import KEEP_S, MOST, Warmth, prefix_of
from inference_gateway.domain.bounds import Size
from inference_gateway.domain.catalogue import Deployment, catalogue
from inference_gateway.domain.errors import GatewayError
from inference_gateway.domain.health import Health
from inference_gateway.domain.money import Price
from inference_gateway.domain.ordering import Circumstances, expected_cost
from inference_gateway.domain.plan import Need, Plan, Policy, plan
from inference_gateway.domain.routing import SORTS, Route, read_provider_field, split_model

few = settings(max_examples=40, deadline=None)
NAMES = ("a", "b", "c", "d", "e", "f")
REGIONS = ("eu", "us", None)
some_names = st.frozensets(st.sampled_from(NAMES))
usd = st.integers(1, 50).map(lambda tenths: Fraction(tenths, 10))
sizes = st.builds(
    Size,
    body_bytes=st.integers(10, 100_000),
    messages=st.integers(1, 5),
    images=st.integers(0, 2),
    choices=st.integers(1, 3),
    max_output=st.none() | st.integers(1, 4000),
)


@st.composite
def deployments(draw: st.DrawFn, least: int = 1) -> list[Deployment]:
    """Deployments of one model at different providers, some of them edge nodes."""
    made = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=least, unique=True)):
        given_, made_ = draw(usd), draw(usd)
        price = Price(given_, made_, f"{name}/1", cached_input=draw(st.none() | st.just(given_ / 10)))
        made.append(
            Deployment(
                provider=name,
                model=f"{name}/m",
                name="m",
                kind=draw(st.sampled_from(("cloud", "cloud", "edge"))),
                base_url="https://example.test",
                features=frozenset({"chat"}) | draw(st.frozensets(st.sampled_from(("tools", "json_schema")))),
                rejects=draw(st.frozensets(st.sampled_from(("seed", "top_p")))),
                prices=draw(st.sampled_from(((price,), (price,), ()))),
                quantization=draw(st.sampled_from((None, "fp8", "int4"))),
                region=draw(st.sampled_from(REGIONS)),
                zdr=draw(st.booleans()),
                trains_on_data=draw(st.sampled_from((None, True, False))),
                max_concurrency=draw(st.integers(1, 5)),
            )
        )
    return made


@st.composite
def healths(draw: st.DrawFn) -> dict[tuple[str, str], Health]:
    """What was measured of some of them."""
    return {
        (name, f"{name}/m"): Health(
            in_flight=draw(st.integers(0, 5)),
            ttft_s=draw(st.none() | st.floats(0.01, 5)),
            whole_s=draw(st.none() | st.floats(0.01, 50)),
            tokens_per_s=draw(st.none() | st.floats(1, 500)),
            cooling_until=draw(st.sampled_from((0.0, 0.0, 200.0))),
            open_until=draw(st.sampled_from((0.0, 0.0, 200.0))),
        )
        for name in draw(some_names)
    }


routes = st.builds(
    Route,
    sort=st.sampled_from(SORTS),
    order=st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
    only=some_names,
    ignore=some_names,
    allow_fallbacks=st.booleans(),
    deny_data_collection=st.booleans(),
    zdr=st.booleans(),
    quantizations=st.frozensets(st.sampled_from(("fp8", "int4"))),
    max_input_price=st.none() | usd,
    max_output_price=st.none() | usd,
    preferred_max_latency=st.none() | st.floats(0.1, 5),
    preferred_min_throughput=st.none() | st.floats(1, 500),
    edge_only=st.booleans(),
    regions=st.frozensets(st.sampled_from(("eu", "us"))),
    private=st.booleans(),
)
policies = st.builds(
    Policy,
    providers=some_names,
    allow_unpriced=st.booleans(),
    private=st.booleans(),
    zdr=st.booleans(),
    regions=st.frozensets(st.sampled_from(("eu", "us"))),
    preferred=st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
)
needs = st.builds(
    Need,
    endpoint=st.just("chat"),
    parameters=st.frozensets(st.sampled_from(("seed", "top_p"))),
    features=st.frozensets(st.sampled_from(("tools", "json_schema"))),
    logprobs=st.just(0),
    size=sizes,
)
FREE = Route()
CHAT = Need("chat", frozenset(), frozenset(), 0, Size(1000, 1, 0, 1, 100))


def planned(
    of: list[Deployment],
    route: Route = FREE,
    need: Need = CHAT,
    policy: Policy | None = None,
    health: Any = None,
    about: Circumstances | None = None,
) -> Plan:
    """A plan at the moment 100."""
    return plan(
        of,
        need,
        route,
        policy or Policy(),
        health or {},
        now=100.0,
        unix_time=1000.0,
        today=date(2026, 11, 21),
        about=about or Circumstances(),
    )


def providers(made: Plan) -> list[str]:
    """Who is tried, in order."""
    return [one.deployment.provider for one in made.candidates]


def may(one: Deployment, need: Need, route: Route, policy: Policy, health: Any) -> bool:
    """Whether a deployment may serve a request: the rules once more, in their plainest words."""
    seen = health.get(one.id, Health())
    at_home = one.kind == "edge"
    price = one.prices[0] if one.prices else None
    dear = any(
        limit is not None and (price is None or has(price) > limit)
        for limit, has in ((route.max_input_price, lambda p: p.input), (route.max_output_price, lambda p: p.output))
    )
    return all(
        (
            at_home or not (route.edge_only or route.private or policy.private),
            at_home or one.zdr or not (route.zdr or policy.zdr),
            at_home or one.trains_on_data is False or not route.deny_data_collection,
            not route.regions or one.region in route.regions,
            not policy.regions or one.region in policy.regions,
            not route.only or one.provider in route.only,
            one.provider not in route.ignore,
            not policy.providers or one.provider in policy.providers,
            not route.quantizations or one.quantization in route.quantizations,
            price is not None or policy.allow_unpriced,
            not dear,
            need.features <= one.features,
            not need.parameters & one.rejects,
            seen.cooling_until <= 100.0,
            seen.open_until <= 100.0,
            seen.in_flight < one.max_concurrency,
        )
    )


@few
@given(deployments(), needs, routes, policies, healths())
def test_who_may_serve_is_a_candidate_and_who_may_not_is_ruled_out_once_with_a_rule(
    of: list[Deployment], need: Need, route: Route, policy: Policy, health: Any
) -> None:
    made = planned(of, replace(route, allow_fallbacks=True), need, policy, health)
    allowed = {one.provider for one in of if may(one, need, route, policy, health)}
    assert sorted(providers(made)) == sorted(allowed)
    assert sorted(out.deployment.provider for out in made.ruled_out) == sorted(
        one.provider for one in of if one.provider not in allowed
    )
    assert all(out.rule and out.group for out in made.ruled_out)


@few
@given(deployments(), routes, healths(), st.integers(0, 2**64 - 1), st.randoms())
def test_the_order_depends_on_nothing_but_what_is_given_and_not_on_how_it_was_listed(
    of: list[Deployment], route: Route, health: Any, draw: int, shuffler: Any
) -> None:
    about = Circumstances(draw=draw, prefix=str(draw))
    shuffled = list(of)
    shuffler.shuffle(shuffled)
    policy = Policy(allow_unpriced=True)
    assert providers(planned(of, route, policy=policy, health=health, about=about)) == providers(
        planned(shuffled, route, policy=policy, health=health, about=about)
    )


@few
@given(deployments(), routes, routes, healths())
def test_a_further_restriction_never_lets_anybody_in(
    of: list[Deployment], route: Route, more: Route, health: Any
) -> None:
    free = replace(route, allow_fallbacks=True)
    for name in ("zdr", "private", "edge_only", "deny_data_collection"):
        stricter = replace(free, **{name: getattr(free, name) or getattr(more, name)})
        assert set(providers(planned(of, stricter, health=health))) <= set(providers(planned(of, free, health=health)))
    assert set(providers(planned(of, replace(free, ignore=free.ignore | more.ignore), health=health))) <= set(
        providers(planned(of, free, health=health))
    )


@few
@given(deployments(2), routes, healths())
def test_a_named_order_comes_first_and_without_fallbacks_nobody_else_is_tried(
    of: list[Deployment], route: Route, health: Any
) -> None:
    free = planned(of, replace(route, allow_fallbacks=True), health=health)
    strict = planned(of, replace(route, allow_fallbacks=False), health=health)
    ranks = [route.order.index(one) if one in route.order else len(route.order) for one in providers(free)]
    assert ranks == sorted(ranks)
    named = [one for one in providers(free) if one in route.order]
    assert providers(strict) == (named or providers(free)[:1])


@few
@given(deployments(2), sizes, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30_000)))
def test_cheapest_is_in_the_order_of_the_expected_cost_with_what_is_cached(
    of: list[Deployment], size: Size, cached: dict[str, int]
) -> None:
    about = Circumstances(cached=lambda one: cached.get(one.provider, 0))
    made = planned(of, Route(sort="cheapest"), replace(CHAT, size=size), Policy(allow_unpriced=True), about=about)
    costs = []
    for candidate in made.candidates:
        price = candidate.price
        if price is not None:
            given_ = size.body_bytes // 4 + size.images * 1024
            out = max(1, (size.max_output or 512) // 2) * size.choices
            warm = min(given_, cached.get(candidate.deployment.provider, 0))
            costs.append((given_ - warm) * price.input + warm * price.cached + out * price.output)
            assert expected_cost(candidate, size, about) == costs[-1] * 1000
    assert costs == sorted(costs)
    unpriced = [candidate.price is None for candidate in made.candidates]
    assert unpriced == sorted(unpriced), "who has no price is last, never cheapest"


@few
@given(deployments(2), healths())
def test_fastest_tries_each_unmeasured_once_and_then_goes_by_what_this_client_waits_for(
    of: list[Deployment], health: Any
) -> None:
    for stream in (True, False):
        made = planned(of, health=health, policy=Policy(allow_unpriced=True), about=Circumstances(stream=stream))
        seen = [health.get(one.deployment.id, Health()) for one in made.candidates]
        waits = [one.ttft_s if stream else one.whole_s for one in seen]
        assert [one is not None for one in waits] == sorted(one is not None for one in waits)
        figures = [round(wait, 2) + one.in_flight * 0.001 for wait, one in zip(waits, seen, strict=True) if wait]
        assert figures == sorted(figures)


@few
@given(deployments(2), healths())
def test_least_busy_goes_by_the_share_of_a_providers_slots(of: list[Deployment], health: Any) -> None:
    made = planned(of, Route(sort="least_busy"), health=health)
    shares = [
        Fraction(health.get(one.deployment.id, Health()).in_flight, one.deployment.max_concurrency)
        for one in made.candidates
    ]
    assert shares == sorted(shares)


def three() -> list[Deployment]:
    """Three deployments that differ in nothing but their names."""
    price = Price(Fraction(1), Fraction(1), "x/1")
    return [
        Deployment(name, f"{name}/m", "m", "cloud", "https://x.test", frozenset({"chat"}), prices=(price,))
        for name in ("a", "b", "c")
    ]


@pytest.mark.parametrize("weights", [{"a": 6, "b": 3, "c": 1}, {"a": 1, "b": 1, "c": 0}])
def test_weighted_gives_each_its_share_of_the_first_places(weights: dict[str, float]) -> None:
    route = Route(sort="weighted", weights=frozenset(weights.items()))
    draws = 6000
    first = Counter(providers(planned(three(), route, about=Circumstances(draw=number)))[0] for number in range(draws))
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        spread = 5 * (share * (1 - share) / draws) ** 0.5
        assert abs(first[name] / draws - share) <= spread


def test_weighted_without_weights_goes_by_the_inverse_square_of_the_cost() -> None:
    cheap, dear, _ = three()
    dear = replace(dear, prices=(Price(Fraction(3), Fraction(3), "x/1"),))
    draws = 6000
    first = Counter(
        providers(planned([cheap, dear], Route(sort="weighted"), about=Circumstances(draw=number)))[0]
        for number in range(draws)
    )
    assert abs(first["a"] / draws - 0.9) < 5 * (0.09 / draws) ** 0.5


@few
@given(deployments(2), st.text(min_size=1))
def test_affinity_keeps_a_prompt_where_it_was_when_others_come_and_go(of: list[Deployment], prefix: str) -> None:
    route, about = Route(sort="affinity"), Circumstances(prefix=prefix)
    before = providers(planned(of, route, policy=Policy(allow_unpriced=True), about=about))
    for gone in of:
        rest = [one for one in of if one is not gone]
        after = providers(planned(rest, route, policy=Policy(allow_unpriced=True), about=about))
        assert after == [one for one in before if one != gone.provider]


def test_affinity_spreads_prompts_over_providers() -> None:
    first = Counter(
        providers(planned(three(), Route(sort="affinity"), about=Circumstances(prefix=str(number))))[0]
        for number in range(3000)
    )
    assert min(first.values()) > 850


@few
@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.text(max_size=20))
def test_a_conversation_keeps_its_prefix_and_projects_share_none(turns: list[str], system: str) -> None:
    messages = [{"role": "system", "content": system}]
    names = set()
    for turn in turns:
        messages = [*messages, {"role": "user", "content": turn}]
        names.add(prefix_of({"messages": messages}, "p"))
        messages = [*messages, {"role": "assistant", "content": "yes"}]
    assert len(names) == 1
    assert prefix_of({"messages": messages}, "q") not in names
    assert prefix_of({"messages": messages, "prompt_cache_key": "k"}, "p") == prefix_of({"prompt_cache_key": "k"}, "p")


def test_what_was_cached_is_forgotten_with_time_and_never_grows_without_bound() -> None:
    warmth = Warmth()
    warmth.note("x", ("a", "m"), 500, 0.0)
    assert warmth.cached("x", ("a", "m"), KEEP_S) == 500
    assert warmth.cached("x", ("a", "m"), KEEP_S + 1) == 0
    assert warmth.cached("x", ("b", "m"), 1.0) == 0
    for number in range(MOST):
        warmth.note(str(number), ("a", "m"), 1, 1.0)
    assert warmth.cached("x", ("a", "m"), 2.0) == 0


def test_the_explanation_names_the_sort_the_figures_and_who_was_ruled_out_by_what() -> None:
    a, b, c = three()
    told = planned([a, replace(b, zdr=True), c], Route(sort="cheapest", zdr=True)).explain()
    assert told["candidates"] == ["b/b/m"]
    assert told["ruled_out"] == [
        {"provider": "a", "model": "a/m", "rule": "no_zero_data_retention"},
        {"provider": "c", "model": "c/m", "rule": "no_zero_data_retention"},
    ]
    both = planned([a, replace(b, prices=(Price(Fraction(2), Fraction(2), "x/1"),))], Route(sort="cheapest")).explain()
    assert both["candidates"] == ["a/a/m", "b/b/m"]
    assert both["figures"] == [300_000.0, 600_000.0]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("order", "a"),
        ("only", [1]),
        ("ignore", {}),
        ("allow_fallbacks", "no"),
        ("require_parameters", 1),
        ("data_collection", "maybe"),
        ("zdr", "yes"),
        ("quantizations", "fp8"),
        ("sort", "best"),
        ("max_price", {"image": 1}),
        ("preferred_max_latency", 0),
        ("preferred_min_throughput", "fast"),
        ("weights", {"a": -1}),
        ("regions", "eu"),
        ("data", "secret"),
    ],
)
def test_a_field_of_the_provider_object_with_a_value_that_makes_no_sense_is_an_error_that_names_it(
    field: str, wrong: Any
) -> None:
    with pytest.raises(GatewayError) as refused:
        read_provider_field({field: wrong}, FREE, catalogue(three()))
    assert field in f"{refused.value.param}{refused.value.message}"


def test_every_sort_is_a_suffix_of_the_model_and_a_value_of_the_object() -> None:
    of = catalogue(three())
    for sort in SORTS:
        assert split_model(f"m:{sort}", of)[1].sort == sort
        assert read_provider_field({"sort": sort}, FREE, of).sort == sort
        assert read_provider_field({"sort": {"by": sort}}, FREE, of).sort == sort
