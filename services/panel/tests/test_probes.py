"""The exam: probes as pure functions of readings, and the level that follows from the figures and nothing else."""

from dataclasses import replace
from random import Random

import pytest

from panel.domain.calibration import facts_of
from panel.domain.exam import JUDGE_PROBES, TONE_READER_PROBES, Probe, level_of
from panel.domain.probes import Papers, Sat, derive_edges, fit_constants, mark, reader
from panel.library import library


def a_sitting(papers: Papers, noise: float, *, fooled: bool = False, first_wins: bool = False) -> Sat:
    """A sitting by a reader who hears each label through noise; a fooled one likes what is no evidence."""
    draw = Random(7)

    def hear(polarity: float) -> tuple[float, float, float]:
        return tuple(2 * polarity + draw.gauss(0, noise) for _ in range(3))  # type: ignore[return-value]

    facts = facts_of((*papers.fit, *papers.examined))
    read = {fact.text: hear(fact.polarity) for fact in facts}
    read |= {text: hear(1.0 if fooled else 0.0) for text in papers.texts.all}
    return Sat(
        read=read,
        reread={fact.text: read[fact.text][:1] for fact in facts_of(papers.invented.examined)},
        reworded={fact.text: hear(fact.polarity) for fact in facts_of(papers.invented.examined)},
        pairs=[("first", "first" if first_wins else "second")] * 20,
    )


def figures(sat: Sat) -> dict[str, Probe]:
    _, _, probes = mark(library().papers, sat, library().personas)
    return {probe.probe: probe for probe in probes}


def test_a_reader_with_a_good_ear_that_is_fooled_by_hype_is_a_tone_reader() -> None:
    found = figures(a_sitting(library().papers, 1.0, fooled=True, first_wins=True))
    assert level_of(list(found.values())) == "tone_reader"
    assert found["hype_not_counted"].passed is False
    assert found["orders_not_counted"].passed is False
    assert found["orders_of_pair_agree"].value == 0.0


def test_a_deaf_reader_is_refused() -> None:
    found = figures(a_sitting(library().papers, 200.0))
    assert level_of(list(found.values())) == "refused"
    assert found["held_out_auc"].passed is False


def test_the_systems_figures_stand_beside_the_bare_models_and_are_better() -> None:
    found = figures(a_sitting(library().papers, 1.0, fooled=True))
    for name in ("hype_not_counted", "orders_not_counted"):
        assert found[name].value == 0.0
        assert found[f"{name}_system"].value == 1.0
        assert found[f"{name}_system"].passed is None


def test_claims_are_not_sat_and_so_nobody_is_a_judge() -> None:
    found = figures(a_sitting(library().papers, 0.8))
    assert (found["claims_supported"].value, found["claims_supported"].passed) == (None, None)
    assert level_of(list(found.values())) == "tone_reader"


def test_a_model_that_passes_everything_is_a_judge() -> None:
    assert level_of([Probe(name, name, 1.0, passed=True) for name in JUDGE_PROBES]) == "judge"


@pytest.mark.parametrize("failed", TONE_READER_PROBES)
def test_one_failed_probe_of_the_first_three_refuses(failed: str) -> None:
    probes = [Probe(name, name, 1.0, passed=name != failed) for name in JUDGE_PROBES]
    assert level_of(probes) == "refused"


def test_an_auc_passes_by_its_lower_bound_not_by_itself() -> None:
    found = figures(a_sitting(library().papers, 4.4))["held_out_auc"]
    assert found.value is not None
    assert found.interval is not None
    assert found.value > 0.80 > found.interval.low
    assert found.passed is False


def test_the_same_sitting_is_marked_the_same() -> None:
    sat = a_sitting(library().papers, 1.0)
    assert mark(library().papers, sat, library().personas) == mark(library().papers, sat, library().personas)


def test_another_reading_of_one_fact_does_not_move_what_was_fitted_on_others() -> None:
    papers = library().papers
    sat = a_sitting(papers, 1.0)
    examined = facts_of(papers.examined)[0].text
    other = replace(sat, read={**sat.read, examined: (9.0, 9.0, 9.0)})
    assert fit_constants(papers.fit, sat.read) == fit_constants(papers.fit, other.read)


def test_edges_part_what_should_ship_from_what_should_not() -> None:
    papers = library().papers
    sat = a_sitting(papers, 1.0)
    edges = derive_edges(papers.fit, reader(fit_constants(papers.fit, sat.read), sat.read))
    assert 100 * 3 / 8 < edges.skip_below <= 50 <= edges.ship_at < 100 * 5 / 8 + 3
