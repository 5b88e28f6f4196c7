"""The panel's data files (personas, use cases, lead-ins, calibration sets) as domain objects, checked when read."""

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .domain.calibration import LabelledDossier, LabelledFact, ProbeTexts, split
from .domain.personas import KINDS, TOPICS, Criterion, FieldRule, Persona
from .domain.probes import Papers
from .domain.reviews import LeadIns
from .domain.tone import FRAMES, prompt_hash
from .domain.use_cases import UseCase

M = TypeVar("M", bound=BaseModel)

ORDER = ("builder", "skeptic", "founder", "futurist", "creator")
"""Order in which reviewers are shown; a further persona comes behind them."""


class DataFileError(ValueError):
    """A data file of the package is wrong; the text names file, place and fault."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Thresholds(_Strict):
    ship_at: float = Field(ge=0, le=100)
    skip_below: float = Field(ge=0, le=100)


class _Criterion(_Strict):
    name: str
    weight: float = Field(gt=0)
    low: str
    high: str


class _Field(_Strict):
    id: str
    label: str
    topics: tuple[str, ...]
    kinds: tuple[str, ...]
    stance: Literal["for", "against", "any"]


class _Persona(_Strict):
    id: str
    name: str
    asks_for: str
    motto: str
    excited_about: tuple[str, ...]
    tired_of: tuple[str, ...]
    weighs: tuple[str, ...] = Field(min_length=1)
    thresholds: _Thresholds
    rubric: tuple[_Criterion, ...] = Field(min_length=1)
    fields: tuple[_Field, ...] = Field(min_length=1)


class _UseCase(_Strict):
    id: str
    label: str
    topics: dict[str, float]
    kinds: dict[str, float]


class _UseCases(_Strict):
    use_case: tuple[_UseCase, ...] = Field(min_length=1)


class _LabelledFact(_Strict):
    id: str
    text: str
    polarity: Literal[-1, 0, 1]
    kind: str = ""
    topics: tuple[str, ...] = ()


class _LabelledDossier(_Strict):
    id: str
    name: str
    category: str
    label: Literal["good", "bad", "mixed"]
    facts: tuple[_LabelledFact, ...]


class _ProbeTexts(_Strict):
    neutral: tuple[str, ...]
    junk: tuple[str, ...]
    hype: tuple[str, ...]
    orders: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """Everything that the panel knows as data."""

    personas: tuple[Persona, ...]
    use_cases: tuple[UseCase, ...]
    lead_ins: LeadIns
    papers: Papers
    prompt_hash: str
    """Over the frames and the personas, use cases and lead-ins: whatever shapes a review."""
    frames_hash: str
    """Over the frames and calibration sets: what an exam belongs to."""


@cache
def library() -> Library:
    """The package's own data. Raises :class:`DataFileError`."""
    return read_library(files(__package__))


def read_library(root: Traversable) -> Library:
    """The data in a folder laid out like the package. Raises :class:`DataFileError`."""
    calibration = root / "calibration"
    shapes = [
        _text(persona)
        for persona in sorted((root / "personas").iterdir(), key=lambda one: one.name)
        if persona.name.endswith(".toml")
    ]
    shapes += [_text(root / "use_cases.toml"), _text(root / "lead_ins.toml")]
    papers = Papers(
        invented=split(_dossiers(calibration / "invented.jsonl")),
        real=split(_dossiers(calibration / "real.jsonl")),
        texts=ProbeTexts(**_checked(_ProbeTexts, calibration / "probes.toml").model_dump()),
    )
    sets = [_text(calibration / name) for name in ("invented.jsonl", "real.jsonl", "probes.toml")]
    return Library(
        personas=_personas(root / "personas"),
        use_cases=tuple(
            UseCase(case.id, case.label, case.topics, case.kinds)
            for case in _checked(_UseCases, root / "use_cases.toml").use_case
            if _known(root / "use_cases.toml", case.topics, case.kinds)
        ),
        lead_ins=_lead_ins(root / "lead_ins.toml"),
        papers=papers,
        prompt_hash=prompt_hash(FRAMES, *shapes),
        frames_hash=prompt_hash(FRAMES, *sets),
    )


def _personas(folder: Traversable) -> tuple[Persona, ...]:
    found = [_persona(path) for path in folder.iterdir() if path.name.endswith(".toml")]
    place = {name: number for number, name in enumerate(ORDER)}
    return tuple(sorted(found, key=lambda persona: (place.get(persona.id, len(ORDER)), persona.id)))


def _persona(path: Traversable) -> Persona:
    data = _checked(_Persona, path)
    if f"{data.id}.toml" != path.name:
        raise DataFileError(f"{path.name}: id {data.id!r} and file name differ")
    unknown = set(data.weighs) - TOPICS - KINDS
    if unknown:
        raise DataFileError(f"{path.name}: weighs: no such topic or kind: {', '.join(sorted(unknown))}")
    for one in data.fields:
        _known(path, one.topics, one.kinds)
    return Persona(
        id=data.id,
        name=data.name,
        asks_for=data.asks_for,
        motto=data.motto,
        excited_about=data.excited_about,
        tired_of=data.tired_of,
        weighs=frozenset(data.weighs),
        ship_at=data.thresholds.ship_at,
        skip_below=data.thresholds.skip_below,
        rubric=tuple(Criterion(one.name, one.weight, one.low, one.high) for one in data.rubric),
        fields=tuple(
            FieldRule(one.id, one.label, frozenset(one.topics), frozenset(one.kinds), one.stance) for one in data.fields
        ),
    )


def _known(path: Traversable, topics: object, kinds: object) -> bool:
    unknown = (set(topics) - TOPICS) | (set(kinds) - KINDS)  # type: ignore[call-overload]
    if unknown:
        raise DataFileError(f"{path.name}: no such topic or kind: {', '.join(sorted(unknown))}")
    return True


def _lead_ins(path: Traversable) -> LeadIns:
    found = {name: str(text) for name, text in tomllib.loads(_text(path)).items()}
    missing = (TOPICS | KINDS) - found.keys()
    if missing or found.keys() - TOPICS - KINDS:
        raise DataFileError(f"{path.name}: wanted exactly one line a topic and kind; missing: {sorted(missing)}")
    return found


def _dossiers(path: Traversable) -> tuple[LabelledDossier, ...]:
    made = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        try:
            data = _LabelledDossier.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise DataFileError(f"{path.name}, line {number}: {error}") from error
        facts = tuple(LabelledFact(one.id, one.text, one.polarity, one.kind, one.topics) for one in data.facts)
        made.append(LabelledDossier(data.id, data.label, facts))
    return tuple(made)


def _checked(model: type[M], path: Traversable) -> M:
    try:
        return model.model_validate(tomllib.loads(_text(path)))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise DataFileError(f"{path.name}: {error}") from error


def _text(path: Traversable) -> str:
    return path.read_text(encoding="utf-8")
