"""The model list, read from ``models.toml`` beside this file: adding a model is adding an entry."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from .domain.models import Architecture, Licence, Model, ModelList, Source, Weights


def load_models(own: Path | None = None) -> ModelList:
    """The packaged list, with the entries of an operator's ``own`` file over it.

    Raises ``ValueError`` that names the file, the entry and what is wrong; ``OSError`` where ``own`` cannot be read.
    """
    models = _read("models.toml", files(__package__).joinpath("models.toml").read_text())
    return ModelList(models | (_read(str(own), own.read_text()) if own else {}))


def _read(where: str, text: str) -> dict[str, Model]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: {error}") from error
    models: dict[str, Model] = {}
    for entry in document.get("model", []):
        name = entry.get("id", "an entry without id")
        try:
            model = _model(entry)
        except (TypeError, KeyError) as error:
            raise ValueError(f"{where}: {name}: {_plain(error)}") from error
        if model.id in models:
            raise ValueError(f"{where}: {name} is there twice")
        models[model.id] = model
    return models


def _plain(error: Exception) -> str:
    """``Model.__init__() got an unexpected keyword argument 'x'`` in words for who wrote the entry."""
    text = str(error).replace("__init__() got an unexpected keyword argument", "has no field")
    return f"{text} is missing" if isinstance(error, KeyError) else text


def _model(entry: dict[str, Any]) -> Model:
    nested = {"licence", "architecture", "weights", "modalities", "conflicts"}
    architecture = dict(entry.get("architecture", {}))
    sources = tuple(architecture.pop("sources", ()))
    return Model(
        **{key: value for key, value in entry.items() if key not in nested},
        licence=Licence(**entry["licence"]),
        architecture=Architecture(**architecture, sources=sources),
        weights=tuple(_weights(weights) for weights in entry.get("weights", ())),
        modalities=tuple(entry.get("modalities", ("text",))),
        conflicts=tuple(entry.get("conflicts", ())),
    )


def _weights(entry: dict[str, Any]) -> Weights:
    return Weights(**(entry | {"sources": tuple(Source(**source) for source in entry["sources"])}))
