"""Differences of scores, and the one address of a pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.domain.comparing import Scored, canonical_pair, difference, split_pair
from catalog.domain.searching import Entry, search, suggest
from catalog.domain.verdict import Span

SCORES = st.floats(0, 100)


def scored(score: float, half: float = 5) -> Scored:
    return Scored(score, Span(score - half, score + half))


def test_the_clearly_higher_score_wins() -> None:
    assert difference(scored(80), scored(40)).winner == "a"
    assert difference(scored(40), scored(80)).winner == "b"


def test_across_zero_there_is_no_winner() -> None:
    assert difference(scored(52), scored(50)).winner == "none"


@pytest.mark.parametrize("missing", [Scored(None, None), Scored(50, None)])
def test_without_a_score_or_its_interval_it_abstains(missing: Scored) -> None:
    assert difference(scored(50), missing).winner == "abstain"


def test_the_interval_is_put_together_as_the_formula_says() -> None:
    result = difference(Scored(60, Span(57, 66)), Scored(50, Span(46, 53)))
    assert result.interval is not None
    assert result.interval.low == pytest.approx(10 - (3**2 + 3**2) ** 0.5)
    assert result.interval.high == pytest.approx(10 + (6**2 + 4**2) ** 0.5)


@given(SCORES, SCORES)
def test_the_order_of_the_sides_plays_no_part(a: float, b: float) -> None:
    assert difference(scored(a), scored(b)) == difference(scored(b), scored(a)).turned()


@given(st.lists(st.sampled_from(["a", "vs", "b-vs", "vs-a", "a-vs-b"]), min_size=2, max_size=2, unique=True))
def test_a_pair_has_one_address_and_the_address_that_pair(slugs: list[str]) -> None:
    first, second = canonical_pair(*slugs)
    assert canonical_pair(second, first) == (first, second)
    found = split_pair(f"{first}-vs-{second}", set(slugs))
    assert found is not None
    assert set(found) == set(slugs)


ENTRIES = (
    Entry(
        "mistral-3-small-22b", "Mistral 3 Small (22B)", "Mistral AI", "Developer Tools", "Weights", ("Mistral 2409",)
    ),
    Entry("vllm", "vLLM", "vLLM project", "Inference engines", "GPU serving engine"),
    Entry("tgi", "Text Generation Inference", "Hugging Face", "Inference engines", "Server", ("TGI",)),
)


@pytest.mark.parametrize(
    ("query", "slugs"),
    [
        ("tgi", ["tgi"]),
        ("2409", ["mistral-3-small-22b"]),
        ("inference engines", ["tgi", "vllm"]),
        ("VLLM", ["vllm"]),
        ("mistrall 3 smal", ["mistral-3-small-22b"]),
        ("   ", []),
        ("quantum blockchain", []),
    ],
)
def test_a_search_finds_by_name_alias_and_category(query: str, slugs: list[str]) -> None:
    assert [entry.slug for entry in search(ENTRIES, query)] == slugs


def test_a_mistyped_address_suggests_what_was_meant() -> None:
    assert [entry.slug for entry in suggest(ENTRIES, "mistral-small-22b")] == ["mistral-3-small-22b"]
