"""Log-probabilities in the legacy shape: nothing of the mass is lost, whatever the tokens look like."""

import math

import pytest

from edge_runner.domain.beats import next_version
from edge_runner.domain.logprobs import ScoredToken, TokenLogprob, by_text, legacy, token_text


def test_tokens_of_one_text_are_summed_and_not_dropped() -> None:
    found = by_text([TokenLogprob(b" good", math.log(0.5)), TokenLogprob(b" good", math.log(0.25))])
    assert math.exp(found[" good"]) == pytest.approx(0.75)


def test_tokens_that_are_no_text_stay_apart() -> None:
    found = by_text([TokenLogprob(b"\xe2", -1.0), TokenLogprob(b"\xe2\x80", -2.0)])
    assert found == {"bytes:\\xe2": -1.0, "bytes:\\xe2\\x80": -2.0}
    assert token_text("é".encode()) == "é"


def test_no_alternatives_means_no_map() -> None:
    shape = legacy([ScoredToken(TokenLogprob(b"a", -0.5), (TokenLogprob(b"a", -0.5),))], alternatives=0)
    assert shape["top_logprobs"] is None
    assert shape["token_logprobs"] == [-0.5]


def test_offsets_count_characters_from_where_the_chunk_begins() -> None:
    tokens = [ScoredToken(TokenLogprob("é ".encode(), 0.0)), ScoredToken(TokenLogprob(b"b", 0.0))]
    assert legacy(tokens, 0, first_offset=3)["text_offset"] == [3, 5]


def test_impossible_tokens_of_one_text_stay_impossible() -> None:
    assert by_text([TokenLogprob(b"x", -math.inf), TokenLogprob(b"x", -math.inf)]) == {"x": -math.inf}


def test_a_beat_is_newer_than_the_last_even_when_the_clock_stands_still() -> None:
    first = next_version(0, 5_000_000)
    assert first == 5
    assert next_version(first, 5_000_000) == 6
    assert next_version(first, 1_000_000) == 6
