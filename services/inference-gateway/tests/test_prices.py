"""A price holds from a day on, a change is a new version, and no price is not zero."""

from typing import Any

from inference_gateway.store import accounts

LATER = """[[models.prices]]
since = 2026-06-01
input = "7"
output = "11"
source = "a later list"
[[models.prices]]
since = 2999-01-01
input = "9"
output = "9"
source = "a list to come"
"""


async def test_an_attempt_costs_by_the_price_of_its_day_and_the_ledger_names_its_version(start: Any) -> None:
    old = 'source = "the simulator"\n'
    gateway = await start(change_providers={"alpha": (old, old + LATER)})
    await gateway.chat("words=4")
    [row] = await gateway.ledger()
    assert row["price_version"] == "alpha/2026-06-01"
    assert row["cost_nano_usd"] == 7000 * row["input_tokens"] + 11_000 * row["output_tokens"]


async def test_a_model_without_a_price_costs_nothing_known_and_is_called_only_where_that_is_allowed(start: Any) -> None:
    gateway = await start(change_providers={"alpha": ("since = 2026-01-01", "since = 2999-01-01")})
    status, answer, _ = await gateway.chat()
    assert (status, answer["error"]["code"]) == (403, "model_unpriced")
    await gateway.change(accounts.change_project, "panel", allow_unpriced=True)
    status, _, headers = await gateway.chat()
    assert (status, headers.get("x-shipjury-cost-nano-usd")) == (200, None)
    [row] = await gateway.ledger()
    assert (row["cost_nano_usd"], row["bound_nano_usd"], row["price_version"]) == (None, None, None)
    assert row["output_tokens"] > 0
    _, used = await gateway.get("/v1/usage?group_by=model")
    assert used["data"][0]["unpriced_attempts"] == 1
