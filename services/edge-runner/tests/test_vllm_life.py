"""When vLLM is chosen; a real one's life under the runner (``-m slow``, ``EDGE_VLLM``, ``EDGE_VLLM_MODELS``)."""

import os
import signal
import sys
from pathlib import Path

import openai
import psutil
import pytest

from edge_runner.domain.models import Licence, Model, Source, Weights
from edge_runner.engines import engine_for

from .conftest import MODEL, StartNode, wait_for

MIB = 1 << 20


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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_vllm_is_chosen_takes_what_was_estimated_comes_back_after_kill_9_and_drains(
    tmp_path: Path, start_node: StartNode
) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "safetensors").symlink_to(Path(os.environ["EDGE_VLLM_MODELS"]) / MODEL / "safetensors")
    own = tmp_path / "models.toml"
    own.write_text(
        '[[model]]\nid = "only"\nname = "Only"\nfamily = "-"\nvendor = "-"\nparameters = "-"\n'
        'licence = { name = "Apache-2.0" }\n'
    )
    node = start_node(
        "only",
        vllm=os.environ["EDGE_VLLM"],
        models_dir=str(tmp_path),
        model_list=str(own),
        slots="2",
        threads="1",
        ready_seconds="600",
        drain_seconds="120",
        patience=600,
    )
    held = node.readyz().json()["models"]["only"]
    with openai.OpenAI(base_url=node.base_url, api_key="-", max_retries=0, timeout=120) as client:
        (model,) = client.models.list().data
        assert (model.model_extra or {})["engine"].startswith("vllm ")
        node.post("/completions", model="only", prompt="word " * 500, max_tokens=4)
        held = node.readyz().json()["models"]["only"]
        figures = f"estimated {held['estimated_bytes'] / MIB:.0f} MiB, resident {held['resident_bytes'] / MIB:.0f} MiB"
        sys.stdout.write(figures + "\n")
        assert abs(held["estimated_bytes"] - held["resident_bytes"]) < max(0.03 * held["estimated_bytes"], 60 * MIB)

        stream = client.completions.create(model="only", prompt="A story:", max_tokens=1500, stream=True)
        next(stream)
        for process in psutil.Process(node.process.pid).children(recursive=True):
            if "VLLM::EngineCore" in " ".join(process.cmdline()):
                process.kill()
        with pytest.raises(openai.APIError):
            list(stream)
        wait_for(lambda: node.readyz().json()["models"]["only"]["restarts"] >= 1, 120, node)
        node.wait_ready(600)
        assert node.process.poll() is None
        assert node.post("/completions", model="only", prompt="Hello", max_tokens=1).status_code == 200

        stream = client.completions.create(
            model="only", prompt="One two", max_tokens=60, stream=True, temperature=0, logit_bias={"2": -100}
        )
        next(stream)
        node.process.send_signal(signal.SIGTERM)
        wait_for(lambda: node.readyz().json()["state"] == "draining", 30, node)
        assert node.post("/completions", model="only", prompt="Hello", max_tokens=1).status_code == 503
        rest = [chunk.choices[0].finish_reason for chunk in stream]
        assert rest[-1] == "length"
        assert node.process.wait(60) == 0
