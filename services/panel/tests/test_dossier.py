"""Contradictions in a dossier: which fact does not count, and that both sides stay on record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel.domain.dossier import Conflict, contradicted, disputes, evidence_hash

from .builders import CAPTURED, PUBLIC, a_fact

SUBJECTS = {"licence": "Licence"}


def two(source: str, other_source: str, *, both: bool = False) -> tuple[object, object]:
    other_says = [Conflict("a listing says Apache 2.0", "x-1")] if both else []
    return (
        a_fact("x-1", "A listing says Apache 2.0", "licence", source=source, conflicts=[Conflict("MRL", "x-2")]),
        a_fact("x-2", "The vendor licence is MRL-0.1", "licence", source=other_source, conflicts=other_says),
    )


@pytest.mark.parametrize("both", [True, False])
def test_a_listing_yields_to_a_public_source(both: bool) -> None:
    assert contradicted(two(CAPTURED, PUBLIC, both=both)) == {"x-1": ("x-2",)}  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [CAPTURED, PUBLIC])
def test_between_two_of_the_same_standing_neither_counts(source: str) -> None:
    assert contradicted(two(source, source)) == {"x-1": ("x-2",), "x-2": ("x-1",)}  # type: ignore[arg-type]


def test_a_public_fact_stands_against_a_listing_that_is_not_on_record() -> None:
    assert contradicted([a_fact("x-1", source=PUBLIC, conflicts=[Conflict("a listing says 12")])]) == {}


def test_a_listing_yields_to_what_is_not_on_record_here() -> None:
    assert contradicted([a_fact("x-1", source=CAPTURED, conflicts=[Conflict("docs list 18")])]) == {"x-1": ()}


def test_a_dispute_that_both_sides_tell_of_is_one_dispute_with_both_statements() -> None:
    (found,) = disputes(two(CAPTURED, PUBLIC, both=True), SUBJECTS)  # type: ignore[arg-type]
    assert (found.subject, found.fact_id, found.other_fact_id) == ("Licence", "x-1", "x-2")
    assert found.other_statement == "The vendor licence is MRL-0.1"


def test_a_dispute_with_something_not_on_record_says_what_it_says() -> None:
    (found,) = disputes([a_fact("x-1", conflicts=[Conflict("docs list 18")])], SUBJECTS)
    assert (found.other_fact_id, found.other_statement) == (None, "docs list 18")


@given(st.permutations(["a", "b", "c"]))
def test_the_evidence_hash_is_of_the_facts_in_their_order(order: list[str]) -> None:
    same = evidence_hash(a_fact(name) for name in order) == evidence_hash(a_fact(name) for name in ["a", "b", "c"])
    assert same is (order == ["a", "b", "c"])
