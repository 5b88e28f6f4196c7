"""When vLLM is chosen without being named."""

from pathlib import Path

import pytest

from edge_runner.domain.models import Licence, Model, Source, Weights
from edge_runner.engines import engine_for


def test_auto_takes_vllm_where_its_folder_is_all_that_there_is_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runner.engines.has_gpu", lambda: False)
    command = tmp_path / "vllm"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    model = Model("m", "M", "-", "-", "-", Licence("-"), weights=(Weights("Q4_K_M", (Source("m.gguf", hub="a/b"),)),))

    def chosen(vllm: Path = command) -> str:
        return engine_for("auto", model, tmp_path, str(vllm)).name

    assert chosen() == "llama.cpp"
    (tmp_path / "m" / "safetensors").mkdir(parents=True)
    assert chosen() == "vllm"
    assert chosen(tmp_path / "none") == "llama.cpp"
    (tmp_path / "m" / "m.gguf").touch()
    assert chosen() == "llama.cpp"
    monkeypatch.setattr("edge_runner.engines.has_gpu", lambda: True)
    assert chosen() == "vllm"
