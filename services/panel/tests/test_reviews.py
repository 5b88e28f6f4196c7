"""Reviews: scores by weight, quotes with a lead-in, fields that quote or stay unanswered, struck claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel.domain.personas import BESIDE, FieldRule, Persona
from panel.domain.reviews import answers, claims, review
from panel.domain.scoring import Edges, score, scored
from panel.domain.tone import Reading
from panel.domain.use_cases import UseCase, case_score

from .builders import a_fact, evidence

EDGES = Edges(skip_below=47, ship_at=60)


def a_persona(*fields: FieldRule, weighs: tuple[str, ...] = ("price",)) -> Persona:
    return Persona("p", "P", "", "", (), (), frozenset(weighs), 60, 40, (), fields)


def rule(topics: tuple[str, ...] = (), kinds: tuple[str, ...] = (), stance: str = "any", id_: str = "f") -> FieldRule:
    return FieldRule(id_, id_, frozenset(topics), frozenset(kinds), stance)  # type: ignore[arg-type]


def readings(*probabilities: float) -> list[Reading]:
    return [Reading(f"x-{number}", probability) for number, probability in enumerate(probabilities)]


probabilities = st.lists(st.floats(0, 1), min_size=5, max_size=12)


@given(probabilities)
def test_a_score_lies_between_the_worst_and_the_best_reading(values: list[float]) -> None:
    found = score(readings(*values), [1.0] * len(values))
    assert 100 * min(values) - 1e-6 <= found <= 100 * max(values) + 1e-6


@given(probabilities, st.integers(0, 4))
def test_a_better_reading_never_lowers_a_score(values: list[float], place: int) -> None:
    better = [*values]
    better[place] = 1.0
    weights = [1.0, BESIDE] * len(values)
    assert score(readings(*better), weights[: len(values)]) >= score(readings(*values), weights[: len(values)]) - 1e-9


@given(probabilities, st.randoms())
def test_the_order_of_the_facts_does_not_move_a_score(values: list[float], draw: object) -> None:
    pairs = [(value, 1.0 if number % 2 else BESIDE) for number, value in enumerate(values)]
    shuffled = [*pairs]
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    assert score(readings(*[v for v, _ in pairs]), [w for _, w in pairs]) == pytest.approx(
        score(readings(*[v for v, _ in shuffled]), [w for _, w in shuffled])
    )


def test_the_edges_part_ship_undecided_and_skip() -> None:
    assert [EDGES.verdict(value) for value in (60, 59.9, 47, 46.9)] == ["ship", "undecided", "undecided", "skip"]


def test_four_facts_are_too_few_and_five_unclear_ones_say_nothing() -> None:
    assert scored(readings(0.9, 0.9, 0.9, 0.9), [1.0] * 4, EDGES, 1).verdict == "abstain"
    assert scored(readings(*[0.5] * 5), [1.0] * 5, EDGES, 1).verdict == "abstain"
    assert scored(readings(*[0.9] * 5), [1.0] * 5, EDGES, 1).verdict == "ship"


def test_a_persona_weighs_its_own_topics_fully_and_others_by_three_tenths() -> None:
    persona = a_persona(weighs=("price", "setup"))
    assert persona.weight(a_fact(kind="price")) == 1
    assert persona.weight(a_fact(topics=["setup"])) == 1
    assert persona.weight(a_fact(topics=["privacy"])) == BESIDE


def test_personas_differ_in_their_score_only_by_what_they_weigh() -> None:
    facts = [(a_fact(f"x-{n}", kind="price"), 0.9) for n in range(3)]
    facts += [(a_fact(f"y-{n}", kind="limit"), 0.1) for n in range(3)]
    found = evidence(*facts)
    founder = review(a_persona(weighs=("price",)), found, EDGES, {}, 1)
    skeptic = review(a_persona(weighs=("limit",)), found, EDGES, {}, 1)
    assert founder.score == pytest.approx(100 * (0.9 * 3 + 0.1 * 0.9) / 3.9)
    assert skeptic.score == pytest.approx(100 - (founder.score or 0))
    assert (founder.verdict, skeptic.verdict) == ("ship", "skip")


def test_reasons_are_the_two_strongest_for_and_against_by_clarity_and_weight() -> None:
    found = evidence(
        (a_fact("for-weak", kind="price"), 0.7),
        (a_fact("for-strong", kind="price"), 0.95),
        (a_fact("for-beside", kind="limit"), 0.99),
        (a_fact("against", kind="limit"), 0.05),
        (a_fact("level", kind="price"), 0.5),
    )
    named = claims(a_persona(), found, {"price": "On price:", "limit": "On limits:"})
    assert [one.fact_id for one in named] == ["for-strong", "for-weak", "against"]
    assert [one.stance for one in named] == ["for", "unclear", "against"]
    assert named[0].lead_in == "On price:"
    assert named[0].text == a_fact().statement


def test_a_contradicted_fact_is_shown_struck_does_not_count_and_takes_no_ones_place() -> None:
    facts = [(a_fact(f"x-{n}"), 0.9 - n / 100) for n in range(6)]
    found = evidence(*facts, contradicted={"x-0": ("x-9",)})
    named = claims(a_persona(), found, {})
    assert [(one.fact_id, one.check, one.counts) for one in named] == [
        ("x-0", "contradicted", False),
        ("x-1", "quoted", True),
        ("x-2", "quoted", True),
    ]
    assert named[0].contradicted_by == ("x-9",)
    assert review(a_persona(), found, EDGES, {}, 1).score == pytest.approx(100 * (0.89 + 0.88 + 0.87 + 0.86 + 0.85) / 5)


def test_a_contradicted_fact_leaves_too_few_to_decide() -> None:
    facts = [(a_fact(f"x-{n}"), 0.9) for n in range(5)]
    assert review(a_persona(), evidence(*facts, contradicted={"x-0": ()}), EDGES, {}, 1).verdict == "abstain"


def test_a_field_quotes_the_fact_that_fits_it_best_and_no_fact_twice() -> None:
    found = evidence(
        (a_fact("both", topics=["setup", "documentation"]), 0.6),
        (a_fact("one", topics=["setup"]), 0.9),
    )
    first, second, third = answers(
        a_persona(rule(("setup", "documentation"), id_="a"), rule(("setup",), id_="b"), rule(("setup",), id_="c")),
        found,
    )
    assert (first.fact_id, second.fact_id, third.fact_id, third.text) == ("both", "one", None, None)


def test_a_field_that_asks_for_what_speaks_against_is_not_answered_by_praise() -> None:
    found = evidence((a_fact("x", kind="limit"), 0.9))
    (answer,) = answers(a_persona(rule(kinds=("limit",), stance="against")), found)
    assert answer.text is None


def test_a_field_without_topics_and_kinds_needs_a_judge() -> None:
    (answer,) = answers(a_persona(rule()), evidence((a_fact("x"), 0.9)))
    assert (answer.text, answer.fact_id) == (None, None)


def test_a_contradicted_fact_answers_nothing() -> None:
    found = evidence((a_fact("x", kind="limit"), 0.1), contradicted={"x": ()})
    (answer,) = answers(a_persona(rule(kinds=("limit",))), found)
    assert answer.text is None


CASE = UseCase("c", "Case", {"setup": 1.0, "price": 0.5}, {"limit": 0.25})


def test_a_use_case_is_scored_on_the_facts_that_bear_on_it() -> None:
    found = case_score(
        CASE,
        evidence(
            (a_fact("a", topics=["setup"]), 0.9),
            (a_fact("b", topics=["price"]), 0.5),
            (a_fact("c", kind="limit"), 0.1),
            (a_fact("d", topics=["privacy"]), 0.9),
        ),
        1,
    )
    assert found.facts == 3
    assert found.score == pytest.approx(100 * (0.9 + 0.25 + 0.025) / 1.75)
    assert (found.strongest, found.weakest) == ("a", "c")
    assert found.interval is not None


def test_a_use_case_with_two_facts_has_no_score() -> None:
    found = case_score(CASE, evidence((a_fact("a", topics=["setup"]), 0.9), (a_fact("b", topics=["setup"]), 0.8)), 1)
    assert (found.score, found.interval, found.facts, found.strongest) == (None, None, 2, "a")
