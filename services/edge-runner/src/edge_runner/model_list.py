"""The model list, read from ``models.toml`` beside this file: adding a model is adding an entry."""

import tomllib
from importlib.resources import files
from typing import Any

from .domain.models import Architecture, Licence, Model, ModelList, Source, Weights


def load_models(text: str | None = None) -> ModelList:
    """The packaged list, or the one in ``text``. Raises ``ValueError`` that names the entry and what is wrong."""
    document = tomllib.loads(text if text is not None else files(__package__).joinpath("models.toml").read_text())
    models: dict[str, Model] = {}
    for entry in document.get("model", []):
        name = entry.get("id", "an entry without id")
        try:
            model = _model(entry)
        except (TypeError, KeyError) as error:
            raise ValueError(f"models.toml: {name}: {error}") from error
        if model.id in models:
            raise ValueError(f"models.toml: {name} is there twice")
        models[model.id] = model
    return ModelList(models)


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
