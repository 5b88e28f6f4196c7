"""What the gateway counts, for Prometheus: attempts, tokens, cost; and what waits for the ledger."""

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

from .domain.usage import Bill

ATTEMPTS = Counter("shipjury_gateway_attempts_total", "Attempts by how they ended.", ("provider", "model", "outcome"))
TOKENS = Counter("shipjury_gateway_tokens_total", "Tokens as reported.", ("provider", "model", "kind"))
COST = Counter("shipjury_gateway_cost_nano_usd_total", "Cost in billionths of a US dollar.", ("provider", "model"))
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


def count(provider: str, model: str, bill: Bill, ttft_s: float | None) -> None:
    """Count an attempt that has ended."""
    attempts, given, made, cost, first = _of(provider, model, bill.outcome)
    attempts.inc()
    if bill.tokens is not None:
        given.inc(bill.tokens.input)
        made.inc(bill.tokens.output)
    if bill.nano_usd:
        cost.inc(bill.nano_usd)
    if ttft_s is not None:
        first.observe(ttft_s)


@lru_cache(maxsize=4096)
def _of(provider: str, model: str, outcome: str) -> tuple[Counter, Counter, Counter, Counter, Histogram]:
    """The children of a deployment, looked up once: looking up costs more than counting."""
    return (
        ATTEMPTS.labels(provider, model, outcome),
        TOKENS.labels(provider, model, "input"),
        TOKENS.labels(provider, model, "output"),
        COST.labels(provider, model),
        FIRST.labels(provider, model),
    )
