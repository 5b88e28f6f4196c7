"""What the gateway counts, for Prometheus: attempts, tokens, cost; and what waits for the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from .domain.usage import Bill

FIRST = Histogram(
    "shipjury_gateway_time_to_first_token_seconds",
    "From sending a request to the first bytes of its answer.",
    ("provider", "model"),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
WAITING = Gauge("shipjury_gateway_ledger_waiting", "Settled entries that are not in the ledger yet.")
LEDGERED = Counter("shipjury_gateway_ledger_entries_total", "Entries taken into the ledger.")
HEDGES = Counter("shipjury_gateway_hedges_total", "Second attempts beside a slow first one.", ("provider", "model"))
RETRIES = Counter("shipjury_gateway_retries_total", "Rounds in which failed providers were tried again.")
LOST = Counter("shipjury_gateway_attempts_lost_total", "Open attempts of dead instances that became uncertain.")
REFUSED = Counter(
    "shipjury_gateway_budget_refusals_total", "Attempts that a budget refused.", ("scope", "metric", "window")
)
CONFIGURATION = Gauge("shipjury_gateway_configuration_good", "1: the provider files that lie there are in force.")
ANOMALIES = Counter("shipjury_gateway_anomalies_total", "Projects that were found to spend out of their pattern.")


@dataclass(slots=True)
class _Sum:
    attempts: int = 0
    given: int = 0
    made: int = 0
    nano_usd: int = 0


class _Sums(Collector):
    """What every request counts, by provider, model and outcome: whole numbers of one thread, which Prometheus' own
    counters would lock and look up one by one."""

    def __init__(self) -> None:
        self.by_end: dict[tuple[str, str, str], _Sum] = {}

    def collect(self) -> Iterable[Metric]:
        """All sums, when somebody looks."""
        attempts = CounterMetricFamily(
            "shipjury_gateway_attempts", "Attempts by how they ended.", labels=("provider", "model", "outcome")
        )
        tokens = CounterMetricFamily(
            "shipjury_gateway_tokens", "Tokens as reported.", labels=("provider", "model", "kind")
        )
        cost = CounterMetricFamily(
            "shipjury_gateway_cost_nano_usd", "Cost in billionths of a US dollar.", labels=("provider", "model")
        )
        totals: dict[tuple[str, str], _Sum] = {}
        for (provider, model, outcome), one in list(self.by_end.items()):
            attempts.add_metric((provider, model, outcome), one.attempts)
            total = totals.setdefault((provider, model), _Sum())
            total.given += one.given
            total.made += one.made
            total.nano_usd += one.nano_usd
        for (provider, model), total in totals.items():
            tokens.add_metric((provider, model, "input"), total.given)
            tokens.add_metric((provider, model, "output"), total.made)
            cost.add_metric((provider, model), total.nano_usd)
        return attempts, tokens, cost


_SUMS = _Sums()
REGISTRY.register(_SUMS)


def count(provider: str, model: str, bill: Bill, ttft_s: float | None) -> None:
    """Count an attempt that has ended."""
    key = (provider, model, bill.outcome)
    one = _SUMS.by_end.get(key)
    if one is None:
        one = _SUMS.by_end[key] = _Sum()
    one.attempts += 1
    if bill.tokens is not None:
        one.given += bill.tokens.input
        one.made += bill.tokens.output
    one.nano_usd += bill.nano_usd or 0
    if ttft_s is not None:
        FIRST.labels(provider, model).observe(ttft_s)
