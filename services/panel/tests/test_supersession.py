"""Why a verdict replaces another, and which facts it names."""

from panel.domain.supersession import Grounds, what_changed

from .builders import a_fact

OLD = (a_fact("x-1", "It runs offline."), a_fact("x-2", "A listing says Apache 2.0"))


def grounds(*facts: object, contradicted: tuple[str, ...] = (), prompt: str = "p", judge: str = "m") -> Grounds:
    return Grounds(facts, contradicted, prompt, judge)  # type: ignore[arg-type]


def test_an_added_fact_that_silences_another_is_named_with_it() -> None:
    licence = a_fact("x-3", "The vendor licence is MRL-0.1")
    change = what_changed(grounds(*OLD), grounds(*OLD, licence, contradicted=("x-2",)))
    assert change.cause == "evidence"
    assert change.explanation == (
        "X-3 (“The vendor licence is MRL-0.1”) was added; X-2 (“A listing says Apache 2.0”) no longer counts."
    )


def test_facts_that_were_changed_and_taken_back_are_told_apart() -> None:
    change = what_changed(grounds(*OLD), grounds(a_fact("x-1", "It runs offline on a laptop.")))
    assert change.explanation == (
        "X-1 (“It runs offline on a laptop.”) was changed; X-2 (“A listing says Apache 2.0”) was taken back."
    )


def test_many_facts_are_named_by_their_labels() -> None:
    many = [a_fact(f"y-{number}") for number in range(7)]
    change = what_changed(grounds(*OLD), grounds(*OLD, *many))
    assert change.explanation == "Y-0, Y-1, Y-2, Y-3, Y-4 and 2 more were added."


def test_another_model_on_the_same_facts() -> None:
    change = what_changed(grounds(*OLD), grounds(*OLD, judge="n"))
    assert (change.cause, change.explanation) == ("model", "The judge changed from m to n. No fact changed.")


def test_reworded_frames_on_the_same_facts() -> None:
    change = what_changed(grounds(*OLD), grounds(*OLD, prompt="q"))
    assert change.cause == "prompt"


def test_evidence_comes_before_model_and_both_are_told() -> None:
    change = what_changed(grounds(*OLD), grounds(*OLD[:1], judge="n"))
    assert change.cause == "evidence"
    assert change.explanation.endswith("was taken back. The judge changed from m to n.")


def test_nothing_changed_is_a_repeat() -> None:
    assert what_changed(grounds(*OLD), grounds(*OLD)).cause == "repeat"
