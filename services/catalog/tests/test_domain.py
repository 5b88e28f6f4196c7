"""The record of a tool: hashes, labels, topics."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import domain
from catalog.domain.topics import TOPICS, topics_of

from .builders import draft, fact


def test_equal_drafts_have_equal_hashes() -> None:
    assert domain.compose(draft()).content_hash == domain.compose(draft()).content_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"statement": "Backups take a day."},
        {"kind": "limit"},
        {"source": "https://example.org/other"},
        {"as_of": date(2026, 11, 2)},
        {"conflicts_with": (domain.Conflict("the README says otherwise"),)},
    ],
)
def test_any_change_of_evidence_changes_the_hash(changed: dict[str, object]) -> None:
    before, after = domain.compose(draft()), domain.compose(draft(facts=(fact(1, **changed), fact(2), fact(3))))
    assert before.content_hash != after.content_hash
    assert before.facts[0].content_hash != after.facts[0].content_hash
    assert before.facts[1].content_hash == after.facts[1].content_hash


def test_retiring_changes_the_hash() -> None:
    tool = domain.compose(draft())
    assert tool.retired().content_hash != tool.content_hash


def test_labels_are_the_initial_of_the_short_name_and_the_number_of_the_fact() -> None:
    tool = domain.compose(draft(short_name="Hub", facts=(fact(9), fact(12))))
    assert [one.label for one in tool.facts] == ["H09", "H12"]


def test_facts_whose_ids_give_no_number_are_counted_by_place() -> None:
    tool = domain.compose(draft(facts=(fact(fact_id="quill-backup"), fact(7))))
    assert [one.label for one in tool.facts] == ["Q01", "Q02"]


@given(st.text(min_size=1, max_size=30))
def test_every_name_has_one_letter(name: str) -> None:
    tool = domain.compose(draft(name=name, short_name=""))
    assert len(tool.letter) == 1


def test_a_file_may_state_topics_itself() -> None:
    tool = domain.compose(draft(facts=(fact(topics=("speed", "speed")),)))
    assert tool.facts[0].topics == ("speed",)


@pytest.mark.parametrize(
    ("kind", "statement", "expected"),
    [
        (
            "limit",
            "CVE-2026-42208 is a pre-authentication SQL injection in the proxy key check",
            {"security", "limits"},
        ),
        ("performance", "The model card asks for at least 44 GB of GPU memory on a single GPU", {"hardware", "memory"}),
        ("price", "Monthly free credit: 0.10 USD on free accounts", {"price", "free_tier", "billing"}),
        ("capability", "Vendor docs list structured outputs and function calling", {"structured_output"}),
        ("capability", "Team and Enterprise admins can set a spending limit and disable providers", {"budget_control"}),
    ],
)
def test_rules_assign_the_subjects_that_a_statement_names(kind: str, statement: str, expected: set[str]) -> None:
    assert expected <= set(topics_of(kind, statement))


def test_rules_know_no_other_topics_than_the_catalogs() -> None:
    assert len(set(TOPICS)) == len(TOPICS) == 27


@pytest.mark.parametrize(
    ("name", "address"),
    [("Mistral 3 Small (22B)", "mistral-3-small-22b"), ("llama.cpp", "llama-cpp"), ("Crème", "creme"), ("...", "")],
)
def test_a_name_becomes_an_address(name: str, address: str) -> None:
    assert domain.address_of(name) == address


def test_a_dossier_that_cannot_fit_an_event_is_refused_with_the_numbers() -> None:
    facts = tuple(
        replace(fact(number), statement="x" * 500, source="https://e.org/" + "y" * 900) for number in range(200)
    )
    with pytest.raises(domain.DossierTooLarge, match="262,144"):
        domain.compose(draft(facts=facts))
