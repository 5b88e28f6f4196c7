"""Calibration sets: halves that share no dossier, compositions that a seed repeats."""

from collections import Counter

import pytest

from panel.domain.calibration import compose, compose_of, facts_of, pairs, split
from panel.library import library


def test_halves_share_no_dossier_and_lose_none() -> None:
    for halves in (library().papers.invented, library().papers.real):
        fit, examined = {one.id for one in halves.fit}, {one.id for one in halves.examined}
        assert not fit & examined
    assert len(library().papers.invented.fit) + len(library().papers.invented.examined) == 40


def test_halves_are_stratified_by_label() -> None:
    halves = library().papers.invented
    assert Counter(one.label for one in halves.fit) == Counter(one.label for one in halves.examined)


def test_well_over_150_facts_with_a_polarity_are_examined() -> None:
    examined = library().papers.examined
    assert len(facts_of(examined, 1)) + len(facts_of(examined, -1)) > 200


def test_a_split_is_the_same_every_time_and_another_with_another_seed() -> None:
    dossiers = [*library().papers.invented.fit, *library().papers.invented.examined]
    assert split(dossiers, 1) == split(dossiers[::-1], 1)
    assert split(dossiers, 1) != split(dossiers, 2)


def test_a_composed_dossier_has_the_facts_that_it_says_and_none_twice() -> None:
    polarity = {fact.text: fact.polarity for fact in facts_of(library().papers.examined)}
    for made in compose(library().papers.examined, 5, 3, 20):
        assert Counter(polarity[text] for text in made.texts) == {1: 5, -1: 3}
        assert len(set(made.texts)) == 8


def test_compositions_are_repeated_by_their_seed() -> None:
    examined = library().papers.examined
    assert compose(examined, 5, 3, 5) == compose(examined, 5, 3, 5)
    assert compose_of(["a", "b", "c"], 2, 4) == compose_of(["a", "b", "c"], 2, 4)


def test_a_pair_asks_the_same_two_tools_in_both_orders() -> None:
    for pair in pairs(library().papers.examined, 3):
        tools = [line.partition(": ")[2] for line in pair.question.splitlines()[:2]]
        assert [line.partition(": ")[2] for line in pair.swapped.splitlines()[:2]] == tools[::-1]


def test_no_fact_stands_in_both_sets() -> None:
    papers = library().papers
    invented = {fact.text for fact in facts_of((*papers.invented.fit, *papers.invented.examined))}
    real = {fact.text for fact in facts_of((*papers.real.fit, *papers.real.examined))}
    assert not invented & real


@pytest.mark.parametrize("name", ["neutral", "junk", "hype", "orders"])
def test_each_list_of_probe_texts_can_fill_a_dossier(name: str) -> None:
    assert len(set(getattr(library().papers.texts, name))) >= 8
