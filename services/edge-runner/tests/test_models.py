"""The model list: every family is there, every figure has its source, and what restricts the use says so."""

import re
from urllib.parse import urlsplit

import pytest

from edge_runner.model_list import load_models

MODELS = load_models().models
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)

FAMILIES = {"Ministral 3", "Mistral 7B", "Mistral Small", "Qwen2.5", "SmolLM2", "Llama 3.2", "Gemma 3", "Phi-4"}
SIZES = ("3b", "8b", "14b")


def test_every_family_is_there() -> None:
    assert {model.family for model in MODELS.values()} >= FAMILIES
    assert all(f"ministral-3-{size}-instruct-2512" in MODELS for size in SIZES)
    assert {MODELS[name].parameters for name in MODELS if name.startswith("mistral-small")} == {"22B", "24B"}


@every_model
def test_a_model_has_its_licence_its_source_and_a_file_or_a_reason_why_not(model) -> None:  # type: ignore[no-untyped-def]
    assert model.licence.name
    assert urlsplit(model.licence.source).scheme == "https"
    assert bool(model.weights) != bool(model.why_not)
    for weights in model.weights:
        assert weights.source, "where size and hash were read"
        assert weights.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", weights.sha256)
        assert all(source.hub or source.package or source.path for source in weights.sources)


@every_model
def test_the_numbers_of_an_architecture_have_a_source_and_agree_with_each_other(model) -> None:  # type: ignore[no-untyped-def]
    shape = model.architecture
    assert shape.sources
    if shape.heads and shape.kv_heads:
        assert shape.heads % shape.kv_heads == 0
    assert (shape.sliding_window is None) == (shape.global_every is None)


def test_what_restricts_the_use_is_said_where_it_does() -> None:
    bound = {name for name, model in MODELS.items() if model.licence.restricts}
    assert bound == {
        "mistral-small-instruct-2409",
        "qwen2.5-3b-instruct",
        "llama-3.2-1b-instruct",
        "llama-3.2-3b-instruct",
        "gemma-3-1b-it",
        "gemma-3-4b-it",
    }
