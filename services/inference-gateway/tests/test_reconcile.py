"""The ledger against an invoice: every difference is named, and corrections are rows of their own."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner
from uuid_utils import uuid7

from inference_gateway.cli import commands
from inference_gateway.domain.reconcile import Line, differences, model_of
from inference_gateway.store import accounts, corrections, invoices
from inference_gateway.store.tables import ledger
from shipjury_delivery.tables import outbox

DAY = date(2026, 11, 3)
AWS = """lineItem/LineItemType,lineItem/UsageStartDate,lineItem/ProductCode,lineItem/UsageType,\
lineItem/UnblendedCost,lineItem/CurrencyCode
Usage,2026-11-03T01:00:00Z,AmazonBedrock,USE1-Claude3Sonnet-input-tokens,0.0100000000,USD
Usage,2026-11-03T09:00:00Z,AmazonBedrock,USE1-Claude3Sonnet-output-tokens,0.0300000000,USD
Usage,2026-11-03T09:00:00Z,AmazonBedrock,USE1-Claude3Sonnet-cache-read-input-token-count,0.0010000000,USD
Usage,2026-11-03T09:00:00Z,AmazonS3,Requests-Tier1,1.0000000000,USD
Tax,2026-11-03T00:00:00Z,AmazonBedrock,USE1-Claude3Sonnet-input-tokens,0.5000000000,USD
"""
AZURE = """Date,MeterCategory,MeterSubCategory,MeterName,CostInBillingCurrency,BillingCurrency
11/03/2026,Cognitive Services,Azure OpenAI,gpt-4o-mini-0718-Inp-glbl Tokens,0.25,USD
11/03/2026,Cognitive Services,Azure OpenAI,gpt-4o-mini-0718-Outp-glbl Tokens,0.75,USD
11/03/2026,Storage,Blob,Hot LRS,9,USD
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "invoice.csv"
    path.write_text(text)
    return path


def test_an_aws_report_is_read_by_model_and_without_what_is_not_inference(tmp_path: Path) -> None:
    form, lines = invoices.read(written(tmp_path, AWS))
    assert form == "aws"
    assert {line.model for line in lines} == {"Claude3Sonnet"}
    assert sum(line.nano_usd for line in lines) == 41_000_000


def test_a_newer_aws_report_with_underscores_is_the_same_to_us(tmp_path: Path) -> None:
    header, _, rest = AWS.partition("\n")
    newer = "line_item_line_item_type,line_item_usage_start_date,line_item_product_code,line_item_usage_type,"
    newer += "line_item_unblended_cost,line_item_currency_code"
    assert invoices.read(written(tmp_path, f"{newer}\n{rest}")) == invoices.read(written(tmp_path, f"{header}\n{rest}"))


def test_azures_cost_details_are_read_by_meter(tmp_path: Path) -> None:
    form, lines = invoices.read(written(tmp_path, AZURE))
    assert (form, len(lines), lines[0].day) == ("azure", 2, DAY)
    assert model_of(lines[0].model, ["gpt-4o", "gpt-4o-mini"], {}) == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no form"),
        ("day,model,cost_usd\n2026-11-03,m,much\n", "line 2"),
        ("day,model,cost_usd\nyesterday,m,1\n", "line 2"),
        (AWS.replace("USD", "EUR"), "EUR"),
    ],
)
def test_a_file_that_is_no_invoice_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(invoices.BadInvoice, match=said):
        invoices.read(written(tmp_path, text))


def test_each_difference_has_its_kind() -> None:
    ours = [Line(DAY, "a", 5), Line(DAY, "b", 7), Line(DAY, "c", 1)]
    theirs = [Line(DAY, "a", 5), Line(DAY, "b", 8), Line(DAY, "d", 2)]
    found = [(one.kind, one.model, one.nano_usd) for one in differences(ours, theirs)]
    assert found == [("amount_differs", "b", 1), ("missing_in_invoice", "c", -1), ("missing_in_ledger", "d", 2)]


amounts = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=12)


@given(amounts, amounts)
def test_the_differences_sum_to_the_difference_of_the_sums(ours: Any, theirs: Any) -> None:
    mine, told = ([Line(DAY, model, nano) for model, nano in side] for side in (ours, theirs))
    assert sum(one.nano_usd for one in differences(mine, told)) == sum(n for _, n in theirs) - sum(n for _, n in ours)
    assert differences(mine, reversed(mine)) == []


def test_a_name_that_could_mean_two_models_is_left_as_it_is() -> None:
    models = ["anthropic.claude-3-sonnet-v1:0", "anthropic.claude-3-haiku-v1:0"]
    assert model_of("Claude3Sonnet", models, {}) == models[0]
    assert model_of("Claude3", models, {}) == "Claude3"
    assert model_of("Claude3", models, {"claude3*": models[1]}) == models[1]


@pytest.fixture
async def books(make_database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger of three attempts at one provider, on one day."""
    url = await make_database("inference_gateway")
    for name, value in {
        "DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1", "KAFKA_BOOTSTRAP_SERVERS": "x:1", "OPERATOR_KEY": "k",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"GATEWAY_{name}", value)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        project = await accounts.make_project(connection, "lab")
        for number, (model, cost) in enumerate((("m-1", 1_500_000_001), ("m-1", 2), ("m-2", 40))):
            values = {
                "entry_id": str(uuid7()),
                "kind": "attempt",
                "attempt_id": f"a{number}",
                "request_id": f"r{number}",
            }
            values |= {"first_attempt": True, "organisation_id": "o", "project_id": project, "key_id": "k"}
            values |= {"provider": "alpha", "model": model, "route": "/v1/completions", "outcome": "ok"}
            values |= {"upstream_request_id": f"up{number}", "cost_nano_usd": cost, "duration_ms": 1, "usage_day": DAY}
            await connection.execute(sa.insert(ledger), [values | {"started_at": datetime(2026, 11, 3, 5, tzinfo=UTC)}])
    yield engine
    await engine.dispose()


async def typed(*words: str) -> Any:
    """What a command does, in a thread of its own: it runs its own event loop."""
    import asyncio

    return await asyncio.to_thread(CliRunner().invoke, commands, list(words))


async def test_the_command_names_each_difference_and_ends_with_one(books: Any, tmp_path: Path) -> None:
    path = written(tmp_path, "day,model,cost_usd\n2026-11-03,m-1,1.500000004\n2026-11-03,m-9,0.5\n")
    done = await typed("reconcile", str(path), "--provider", "alpha")
    assert done.exit_code == 1
    assert "amount differs          2026-11-03  m-1  ledger $1.500000003  invoice $1.500000004" in done.output
    assert "missing in the invoice  2026-11-03  m-2" in done.output
    assert "missing in the ledger   2026-11-03  m-9" in done.output
    assert "3 differences" in done.output


async def test_where_both_agree_the_command_ends_with_zero(books: Any, tmp_path: Path) -> None:
    path = written(tmp_path, "day,model,cost_usd\n2026-11-03,m-1,1.500000003\n2026-11-03,m-2,0.00000004\n")
    done = await typed("reconcile", str(path), "--provider", "alpha")
    assert (done.exit_code, "0 differences" in done.output) == (0, True)


async def test_requests_are_compared_one_by_one_where_the_file_lists_them(books: Any, tmp_path: Path) -> None:
    text = "day,model,cost_usd,request_id\n2026-11-03,m-1,1.500000001,up0\n2026-11-03,m-1,0.000000003,up1\n"
    done = await typed("reconcile", str(written(tmp_path, text)), "--provider", "alpha")
    assert done.exit_code == 1
    assert "up0" not in done.output
    assert "amount differs          2026-11-03  m-1  up1" in done.output


async def test_a_correction_is_one_more_row_with_its_event(books: Any) -> None:
    async with books.connect() as connection:
        before = (await connection.execute(sa.select(ledger).order_by(ledger.c.id))).all()
    assert (await typed("corrections", "attempt", "a0", "1.5", "--reason", "invoice 17")).exit_code == 0
    assert (await typed("corrections", "attempt", "a0", "1.4", "--reason", "invoice 18")).exit_code == 0
    day = ("corrections", "day", "lab", "alpha", "m-2", "2026-11-03", "0.25", "--reason", "rounding")
    assert (await typed(*day)).exit_code == 0
    async with books.connect() as connection:
        rows = (await connection.execute(sa.select(ledger).order_by(ledger.c.id))).all()
        events = (await connection.execute(sa.select(outbox))).all()
    assert rows[:3] == before
    assert [(row.kind, row.cost_nano_usd, row.reason) for row in rows[3:]] == [
        ("correction", -1, "invoice 17"),
        ("correction", -100_000_000, "invoice 18"),
        ("correction", 250_000_000, "rounding"),
    ]
    assert len(events) == 3


async def test_after_its_corrections_the_ledger_agrees(books: Any, tmp_path: Path) -> None:
    path = written(tmp_path, "day,model,cost_usd\n2026-11-03,m-1,1.5\n2026-11-03,m-2,0.00000004\n")
    assert (await typed("reconcile", str(path), "--provider", "alpha")).exit_code == 1
    async with books.begin() as connection:
        await corrections.correct_attempt(connection, "a0", 1_499_999_998, "invoice", now=datetime.now(UTC))
    assert (await typed("reconcile", str(path), "--provider", "alpha")).exit_code == 0


async def test_an_amount_or_attempt_that_makes_no_sense_is_refused(books: Any) -> None:
    assert (await typed("corrections", "attempt", "nobody", "1", "--reason", "x")).exit_code == 2
    assert (await typed("corrections", "attempt", "a0", "a lot", "--reason", "x")).exit_code == 2
    assert (await typed("corrections", "attempt", "a0", "0.00000000001", "--reason", "x")).exit_code == 2
