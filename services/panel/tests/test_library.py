"""The panel's data: five personas as the design names them, a fixed vocabulary, and faults that are named."""

from pathlib import Path
from shutil import copytree

import pytest

import panel
from panel.domain.personas import KINDS, TOPICS
from panel.library import DataFileError, library, read_library

HOME = Path(panel.__file__).parent
FIELDS = {
    "builder": ["primitive", "dx_bet", "moment_of_truth", "deciding_point"],
    "skeptic": ["competitors", "breaks_when", "killed_by", "what_would_change_my_mind"],
    "founder": ["buyer", "moat", "stress_test", "deciding_point"],
    "futurist": ["thesis", "depends_on", "second_order_effect", "timing"],
    "creator": ["appeal", "barrier", "polish"],
}


def test_five_personas_with_the_fields_of_the_design_in_their_order() -> None:
    assert {one.id: [field.id for field in one.fields] for one in library().personas} == FIELDS
    assert [one.id for one in library().personas] == list(FIELDS)


def test_every_rubrics_weights_sum_to_one() -> None:
    assert {round(sum(one.weight for one in persona.rubric), 6) for persona in library().personas} == {1.0}


def test_every_topic_and_kind_is_weighed_by_somebody() -> None:
    weighed = set[str]().union(*(persona.weighs for persona in library().personas))
    assert weighed == TOPICS | KINDS


def test_eight_use_cases_and_a_lead_in_for_every_tag() -> None:
    assert len(library().use_cases) == 8
    assert library().lead_ins.keys() == TOPICS | KINDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("personas", "calibration"):
        copytree(HOME / name, tmp_path / name)
    for name in ("use_cases.toml", "lead_ins.toml"):
        (tmp_path / name).write_text((HOME / name).read_text())
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_topic_that_does_not_exist_is_named_with_its_file(folder: Path) -> None:
    change(folder / "personas" / "builder.toml", '"api"', '"apis"')
    with pytest.raises(DataFileError, match=r"builder.toml.*apis"):
        read_library(folder)


def test_an_unknown_field_of_a_persona_is_refused(folder: Path) -> None:
    change(folder / "personas" / "builder.toml", "motto =", "moto =")
    with pytest.raises(DataFileError, match=r"(?s)builder.toml.*moto\n  Extra"):
        read_library(folder)


def test_a_calibration_line_is_named_by_its_number(folder: Path) -> None:
    change(folder / "calibration" / "invented.jsonl", '"polarity": 0', '"polarity": 7')
    with pytest.raises(DataFileError, match=r"invented.jsonl, line 1"):
        read_library(folder)


def test_another_persona_changes_the_prompt_and_not_the_exam(folder: Path) -> None:
    before = read_library(folder)
    change(folder / "personas" / "builder.toml", "motto =", "motto  =")
    after = read_library(folder)
    assert before.prompt_hash != after.prompt_hash
    assert before.frames_hash == after.frames_hash


def test_another_calibration_set_is_another_exam(folder: Path) -> None:
    before = read_library(folder)
    change(folder / "calibration" / "real.jsonl", '"polarity": 0', '"polarity": 1')
    assert before.frames_hash != read_library(folder).frames_hash
