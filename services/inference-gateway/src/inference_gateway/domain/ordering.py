"""In which order candidates are tried. Pure: what is not in the arguments does not count.

The client's `order` comes first, then whether an edge node must load the model, then the client's preferred latency and
throughput, then the sort. Each sort has one figure by which it ranks; it is kept for the explanation.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b
from typing import Any

from .bounds import Size, expected
from .catalogue import Deployment
from .health import Health
from .money import Price, Tokens
from .routing import Route

_IDLE = Health()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that may serve the request, with the price that holds today (``None``: unpriced). ``figure`` is
    what the sort ranked it by."""

    deployment: Deployment
    price: Price | None
    figure: float | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the order depends on besides request and health.

    ``stream`` says what a client waits for; ``draw`` is the chance of this request, ``prefix`` names the beginning of
    its prompt, ``cached`` says how many tokens of it a deployment had in its prompt cache last time.
    """

    stream: bool = True
    draw: int = 0
    prefix: str = ""
    cached: Callable[[Deployment], int] = lambda _: 0


def order(
    candidates: Iterable[Candidate],
    size: Size,
    route: Route,
    preferred: Sequence[str],
    health: Mapping[tuple[str, str], Health],
    about: Circumstances,
) -> list[Candidate]:
    """Candidates from best to worst; ties go by name, so that the order never depends on how they were listed."""

    def rank(candidate: Candidate) -> tuple[tuple[Any, ...], Candidate]:
        deployment = candidate.deployment
        seen = health.get(deployment.id, _IDLE)
        named = route.order.index(deployment.provider) if deployment.provider in route.order else len(route.order)
        slow = deployment.cold and route.sort in ("fastest", "throughput")
        unknown, figure = _figure(candidate, seen, size, route, preferred, about)
        misses = _misses(seen, route, stream=about.stream)
        key = (named, slow, misses, unknown, figure, deployment.cold, deployment.id)
        return key, replace(candidate, figure=float(figure))

    return [candidate for _, candidate in sorted((rank(one) for one in candidates), key=lambda pair: pair[0])]


def _figure(
    candidate: Candidate, seen: Health, size: Size, route: Route, preferred: Sequence[str], about: Circumstances
) -> tuple[int, float | Fraction]:
    """How far an unknown is put back (or first, where trying it is how it gets known), and the figure; less is
    better."""
    deployment = candidate.deployment
    if route.sort == "cheapest":
        cost = expected_cost(candidate, size, about)
        return (1, 0.0) if cost is None else (0, cost)
    if route.sort == "preferred":
        return 0, preferred.index(deployment.provider) if deployment.provider in preferred else len(preferred)
    if route.sort == "throughput":
        return 0, -(seen.tokens_per_s or 0.0)
    if route.sort == "least_busy":
        return 0, seen.in_flight / deployment.max_concurrency
    if route.sort == "weighted":
        return _weighted(candidate, size, route, about)
    if route.sort == "affinity":
        return 0, -_share(about.prefix, deployment)
    latency = seen.latency_s(stream=about.stream)
    # Unmeasured ones come first, so that each is measured once. Load breaks near-ties.
    return (0, seen.in_flight * 0.001) if latency is None else (1, round(latency, 2) + seen.in_flight * 0.001)


def expected_cost(candidate: Candidate, size: Size, about: Circumstances) -> Fraction | None:
    """What the request will probably cost in nano-USD, with what is probably cached; ``None`` without a price."""
    if candidate.price is None:
        return None
    guess = expected(size, candidate.deployment.max_output_tokens)
    cached = min(guess.input, about.cached(candidate.deployment))
    return candidate.price.exact(Tokens(guess.input, guess.output, cached))


def _weighted(candidate: Candidate, size: Size, route: Route, about: Circumstances) -> tuple[int, float]:
    """Efraimidis and Spirakis (2006): the largest of u^(1/w) comes first as often as its weight's share says.

    Without weights of the client's they are the inverse squares of the expected costs, as OpenRouter balances.
    """
    if route.weights:
        weight = float(dict(route.weights).get(candidate.deployment.provider, 0.0))
    else:
        cost = expected_cost(candidate, size, about)
        weight = 0.0 if cost is None else 1.0 / max(float(cost), 1.0) ** 2
    if weight <= 0.0:
        return 1, 0.0
    return 0, -math.log(_share(str(about.draw), candidate.deployment)) / weight


def _share(of: str, deployment: Deployment) -> float:
    """A number in (0, 1), the same for the same two: rendezvous hashing (Thaler and Ravishankar, 1998). What goes to a
    deployment stays there when others come and go."""
    raw = blake2b(f"{of}\0{deployment.provider}\0{deployment.model}".encode(), digest_size=8).digest()
    return (int.from_bytes(raw, "big") + 0.5) / 2**64


def _misses(seen: Health, route: Route, *, stream: bool) -> int:
    latency = seen.latency_s(stream=stream)
    slow = route.preferred_max_latency is not None and (latency or 0.0) > route.preferred_max_latency
    thin = (
        route.preferred_min_throughput is not None
        and seen.tokens_per_s is not None
        and seen.tokens_per_s < route.preferred_min_throughput
    )
    return int(slow) + int(thin)
