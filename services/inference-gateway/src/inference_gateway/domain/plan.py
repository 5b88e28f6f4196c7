"""Which deployments may serve a request, in which order, and why the others may not. Pure, over a snapshot.

Filters first: what can't serve the request losslessly, or is not allowed to, is ruled out by a named rule. Then the
order. The result explains itself (`GET /v1/requests/{id}`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from .bounds import Size
from .catalogue import Deployment
from .errors import GatewayError
from .health import Health
from .money import Price, price_on
from .ordering import Candidate, Circumstances, order
from .routing import Route

_IDLE = Health()
_USUAL = Circumstances()
_PARAMETER, _POLICY, _ROUTE, _AVAILABILITY = "parameter", "policy", "route", "availability"


@dataclass(frozen=True, slots=True)
class Need:
    """What a request needs of a deployment. ``parameters`` are the names in its body, ``choices`` those of them that
    have one of a few values, with it; ``logprobs`` the number of log-probabilities a token that it asks for."""

    endpoint: str
    parameters: frozenset[str]
    features: frozenset[str]
    logprobs: int
    size: Size
    choices: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """What key and project allow. An empty set of models, providers or regions allows all. ``private`` data goes to
    edge nodes only; ``zdr`` lets it go only to who keeps none of it."""

    models: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    allow_unpriced: bool = False
    private: bool = False
    zdr: bool = False
    regions: frozenset[str] = frozenset()
    preferred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuledOut:
    """A deployment that may not, and the rule; ``param`` is the parameter that it cannot honour, if that is why."""

    deployment: Deployment
    group: str
    rule: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in the order in which they are tried, and who was ruled out."""

    candidates: tuple[Candidate, ...]
    ruled_out: tuple[RuledOut, ...]
    sort: str

    def explain(self) -> dict[str, Any]:
        """As stored and shown to the client. ``figures`` are what the sort ranked the candidates by, less being
        better: nano-USD, seconds, a share of the provider's slots."""
        return {
            "sort": self.sort,
            "candidates": [f"{c.deployment.provider}/{c.deployment.model}" for c in self.candidates],
            "figures": [c.figure for c in self.candidates],
            "ruled_out": [
                {"provider": r.deployment.provider, "model": r.deployment.model, "rule": r.rule} for r in self.ruled_out
            ],
        }


def plan(
    deployments: Iterable[Deployment],
    need: Need,
    route: Route,
    policy: Policy,
    health: Mapping[tuple[str, str], Health],
    *,
    now: float,
    unix_time: float,
    today: date,
    about: Circumstances = _USUAL,
) -> Plan:
    """Plan a request. ``now`` is monotonic, ``unix_time`` wall clock, both in seconds."""
    candidates: list[Candidate] = []
    ruled_out: list[RuledOut] = []
    for deployment in deployments:
        price = price_on(deployment.prices, today)
        objection = (
            _by_route(deployment, route, price)
            or _by_policy(deployment, policy, price)
            or _by_parameters(deployment, need)
            or _by_availability(deployment, health.get(deployment.id, _IDLE), now, unix_time)
        )
        if objection is None:
            candidates.append(Candidate(deployment, price))
        else:
            group, rule, param = objection
            ruled_out.append(RuledOut(deployment, group, rule, param))
    if len(candidates) > 1:
        candidates = order(candidates, need.size, route, policy.preferred, health, about)
        if not route.allow_fallbacks:
            # As in OpenRouter's dialect: a named order is kept to, and without one the best alone is tried.
            named = [one for one in candidates if one.deployment.provider in route.order]
            candidates = named or candidates[:1]
    return Plan(tuple(candidates), tuple(ruled_out), route.sort)


Objection = tuple[str, str, str | None]


def _by_route(deployment: Deployment, route: Route, price: Price | None) -> Objection | None:
    if route.edge_only and deployment.kind != "edge":
        return _ROUTE, "not_edge", None
    if route.only and not route.only & {deployment.provider, deployment.kind}:
        return _ROUTE, "not_in_only", None
    if route.ignore & {deployment.provider, deployment.kind}:
        return _ROUTE, "ignored", None
    if not route.labels <= deployment.labels:
        return _ROUTE, "other_labels", None
    if route.quantizations and (deployment.quantization or "").lower() not in route.quantizations:
        return _ROUTE, "quantization", None
    if route.private and deployment.kind != "edge":
        return _ROUTE, "data_is_private", None
    if route.zdr and not (deployment.zdr or deployment.kind == "edge"):
        return _ROUTE, "no_zero_data_retention", None
    if route.regions and deployment.region not in route.regions:
        return _ROUTE, "other_region", None
    if route.deny_data_collection and deployment.kind != "edge" and deployment.trains_on_data is not False:
        return _ROUTE, "may_collect_data", None
    limits = ((route.max_input_price, "input"), (route.max_output_price, "output"))
    for limit, part in limits:
        if limit is not None and (price is None or getattr(price, part) > limit):
            return _ROUTE, "over_max_price", None
    return None


def _by_policy(deployment: Deployment, policy: Policy, price: Price | None) -> Objection | None:
    if policy.models and deployment.name not in policy.models and deployment.model not in policy.models:
        return _POLICY, "model_not_allowed", None
    if policy.providers and not policy.providers & {deployment.provider, deployment.kind}:
        return _POLICY, "provider_not_allowed", None
    if policy.private and deployment.kind != "edge":
        return _POLICY, "data_is_private", None
    if policy.zdr and not (deployment.zdr or deployment.kind == "edge"):
        return _POLICY, "no_zero_data_retention", None
    if policy.regions and deployment.region not in policy.regions:
        return _POLICY, "other_region", None
    if price is None and not policy.allow_unpriced:
        return _POLICY, "unpriced", None
    return None


def _by_parameters(deployment: Deployment, need: Need) -> Objection | None:
    if need.endpoint not in deployment.features:
        return _PARAMETER, f"no_{need.endpoint}", need.endpoint
    for feature in need.features:
        if feature not in deployment.features:
            return _PARAMETER, f"no_{feature}", _PARAMETER_OF.get(feature, feature)
    rejected = need.parameters & deployment.rejects
    if deployment.takes is not None:
        rejected |= need.parameters - deployment.takes
    if rejected:
        name = min(rejected)
        return _PARAMETER, f"rejects_{name}", name
    for name, value in need.choices:
        if name in deployment.values and value not in deployment.values[name]:
            return _PARAMETER, f"rejects_{name}_{value}", name
    if need.logprobs > deployment.max_logprobs:
        return _PARAMETER, f"at_most_{deployment.max_logprobs}_logprobs", "logprobs"
    return None


_PARAMETER_OF = {"json_schema": "response_format", "images": "messages", "logprobs": "logprobs"}


def _by_availability(deployment: Deployment, seen: Health, now: float, unix_time: float) -> Objection | None:
    if deployment.refuse is not None:
        return _AVAILABILITY, deployment.refuse, None
    if deployment.beat_deadline is not None and unix_time > deployment.beat_deadline:
        return _AVAILABILITY, "heartbeat_stale", None
    refusal = seen.refusal(now)
    if refusal is not None:
        return _AVAILABILITY, refusal, None
    if seen.in_flight >= deployment.max_concurrency:
        return _AVAILABILITY, "busy", None
    return None


def refusal(model: str, made: Plan, health: Mapping[tuple[str, str], Health], now: float) -> GatewayError:
    """The error of a plan without candidates: the rule that came closest to letting it through speaks.

    Where only time is in the way, it says when the first of those that might serve the request may be called again.
    """
    for group, code in (
        (_AVAILABILITY, "no_provider_available"),
        (_PARAMETER, "parameter_unsupported"),
        (_POLICY, "model_not_allowed"),
        (_ROUTE, "no_provider_available"),
    ):
        of_group = [out for out in made.ruled_out if out.group == group]
        if not of_group:
            continue
        if all(out.rule == "unpriced" for out in of_group):
            code = "model_unpriced"
        if all(out.rule == "busy" for out in of_group):
            code = "gateway_overloaded"
        who = ", ".join(f"{out.deployment.provider}: {out.rule}" for out in of_group)
        params = sorted({out.param for out in of_group if out.param})
        named = f"`{params[0]}`: " if params and code == "parameter_unsupported" else ""
        temporary = group == _AVAILABILITY
        soonest_s = min(health.get(out.deployment.id, _IDLE).retry_in(now) for out in of_group)
        return GatewayError(
            code,
            f"{named}no provider can serve `{model}` ({who})",
            param=params[0] if params else "model",
            status=None if temporary or group != _ROUTE else 400,
            retry_after_s=max(1.0, soonest_s) if temporary else None,
            extra={"ruled_out": made.explain()["ruled_out"]},
        )
    return GatewayError("model_not_found", f"no provider has a model `{model}`", param="model")
