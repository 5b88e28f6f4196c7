"""How a client chooses a provider: a suffix of the model's name, or the `provider` field.

Both dialects that people already write: Hugging Face's `model:groq`, `model:fastest`, and OpenRouter's `provider`
object. A field that routing does not know is an error, never ignored.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from .catalogue import KINDS, Catalogue
from .errors import GatewayError

SORTS = ("fastest", "cheapest", "preferred", "weighted", "least_busy", "affinity", "throughput")
_SORT_NAMES = {"price": "cheapest", "latency": "fastest"} | {sort: sort for sort in SORTS}
_FIELDS = frozenset(
    {
        "order",
        "only",
        "ignore",
        "allow_fallbacks",
        "require_parameters",
        "data_collection",
        "zdr",
        "quantizations",
        "sort",
        "max_price",
        "preferred_max_latency",
        "preferred_min_throughput",
        "labels",
        "weights",
        "regions",
        "data",
    }
)


@dataclass(frozen=True, slots=True)
class Route:
    """What the client wants of routing. Prices in USD per million tokens, latency in seconds, throughput in
    tokens a second. ``edge_only`` comes from `model:edge`."""

    sort: str = "fastest"
    order: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    allow_fallbacks: bool = True
    deny_data_collection: bool = False
    zdr: bool = False
    quantizations: frozenset[str] = frozenset()
    max_input_price: Fraction | None = None
    max_output_price: Fraction | None = None
    preferred_max_latency: float | None = None
    preferred_min_throughput: float | None = None
    edge_only: bool = False
    labels: frozenset[tuple[str, str]] = frozenset()
    """Labels that an edge node must have; no cloud provider has any."""
    weights: frozenset[tuple[str, float]] = frozenset()
    """Shares of providers, for the sort `weighted`."""
    regions: frozenset[str] = frozenset()
    """Where data may be processed; a provider that does not say where it is is nowhere."""
    private: bool = False
    """Data that may not leave the organisation's own nodes."""


DEFAULT = Route()


def split_model(name: str, catalogue: Catalogue) -> tuple[str, Route]:
    """Model and route of a name such as `gpt-oss-120b:groq`.

    A name that is a model as it stands has no suffix: provider ids contain colons. Raises ``model_not_found`` where
    neither the name nor what stands before its last colon is a model.
    """
    if name in catalogue.by_model:
        return name, DEFAULT
    model, _, suffix = name.rpartition(":")
    if model in catalogue.by_model:
        if suffix in SORTS:
            return model, Route(sort=suffix)
        if suffix == "edge":
            return model, Route(edge_only=True)
        if suffix in catalogue.providers:
            return model, Route(only=frozenset((suffix,)))
        raise GatewayError(
            "provider_not_found",
            f"`{suffix}` is neither a provider of this gateway nor one of edge, {', '.join(SORTS)}",
            param="model",
        )
    raise GatewayError("model_not_found", f"no provider has a model `{name}`", param="model")


def read_provider_field(value: Any, route: Route, catalogue: Catalogue) -> Route:
    """The route with the body's `provider` field taken in. Raises for unknown fields, providers and values."""
    if value is None:
        return route
    if isinstance(value, str):
        _known((value,), catalogue)
        return replace(route, only=frozenset((value,)))
    if not isinstance(value, dict):
        raise GatewayError("invalid_parameter", "`provider` is a provider's id or an object", param="provider")
    unknown = sorted(set(value) - _FIELDS)
    if unknown:
        raise GatewayError(
            "unknown_routing_field",
            f"`provider.{unknown[0]}` is not a field of routing; known are {', '.join(sorted(_FIELDS))}",
            param=f"provider.{unknown[0]}",
        )
    order, only, ignore = (_strings(value, name) for name in ("order", "only", "ignore"))
    _known((*order, *only), catalogue)
    collection = value.get("data_collection", "allow")
    if collection not in ("allow", "deny"):
        raise _invalid("data_collection", "`allow` or `deny`")
    max_price = value.get("max_price") or {}
    if not isinstance(max_price, dict) or set(max_price) - {"prompt", "completion"}:
        raise _invalid("max_price", "an object of `prompt` and `completion`, in USD per million tokens")
    if value.get("data", "any") not in ("any", "private"):
        raise _invalid("data", "`any` or `private`")
    _flag(value, "require_parameters", default=True)  # It holds whatever it says: nothing is ever left out.
    labels = value.get("labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in labels.values()):
        raise _invalid("labels", 'an object of strings, such as {"site": "office"}')
    return replace(
        route,
        labels=frozenset(labels.items()),
        weights=_weights(value.get("weights"), catalogue),
        regions=frozenset(text.lower() for text in _strings(value, "regions")),
        private=value.get("data") == "private",
        sort=_sort(value.get("sort"), route.sort),
        order=order,
        only=frozenset(only) or route.only,
        ignore=frozenset(ignore),
        allow_fallbacks=_flag(value, "allow_fallbacks", default=True),
        deny_data_collection=collection == "deny",
        zdr=_flag(value, "zdr", default=False),
        quantizations=frozenset(text.lower() for text in _strings(value, "quantizations")),
        max_input_price=_fraction(max_price.get("prompt")),
        max_output_price=_fraction(max_price.get("completion")),
        preferred_max_latency=_number(value, "preferred_max_latency"),
        preferred_min_throughput=_number(value, "preferred_min_throughput"),
    )


def _weights(value: Any, catalogue: Catalogue) -> frozenset[tuple[str, float]]:
    if value is None:
        return frozenset()
    if not isinstance(value, dict) or not all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and 0 <= weight < 1e9
        for weight in value.values()
    ):
        raise _invalid("weights", "an object of numbers by provider, at least 0")
    _known(tuple(value), catalogue)
    return frozenset((provider, float(weight)) for provider, weight in value.items())


def _sort(value: Any, default: str) -> str:
    if isinstance(value, dict):
        value = value.get("by")
    if value is None:
        return default
    if value not in _SORT_NAMES:
        raise _invalid("sort", f"one of {', '.join(_SORT_NAMES)}")
    return _SORT_NAMES[value]


def _strings(value: dict[str, Any], name: str) -> tuple[str, ...]:
    items = value.get(name)
    if items is None:
        return ()
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise _invalid(name, "a list of strings")
    return tuple(items)


def _flag(value: dict[str, Any], name: str, *, default: bool) -> bool:
    flag = value.get(name, default)
    if not isinstance(flag, bool):
        raise _invalid(name, "true or false")
    return flag


def _number(value: dict[str, Any], name: str) -> float | None:
    number = value.get(name)
    if number is not None and (not isinstance(number, int | float) or isinstance(number, bool) or number <= 0):
        raise _invalid(name, "a positive number")
    return number


def _fraction(value: Any) -> Fraction | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _invalid("max_price", "numbers in USD per million tokens")
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise _invalid("max_price", "numbers in USD per million tokens") from error


def _known(providers: tuple[str, ...], catalogue: Catalogue) -> None:
    for provider in providers:
        if provider not in catalogue.providers and provider not in KINDS:
            raise GatewayError("provider_not_found", f"this gateway has no provider `{provider}`", param="provider")


def _invalid(name: str, expected: str) -> GatewayError:
    return GatewayError("invalid_parameter", f"`provider.{name}` is {expected}", param=f"provider.{name}")
