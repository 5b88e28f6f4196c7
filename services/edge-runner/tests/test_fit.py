"""Memory by arithmetic, held against the sizes of real files and against what engines really take."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from edge_runner.domain.fit import MIB, Need, fits_into, kv_cache_bytes, largest_context, need
from edge_runner.domain.models import Architecture
from edge_runner.domain.q4_k_m import NotEnoughKnown, weights_bytes
from edge_runner.fitting import rows, table
from edge_runner.gguf import NotGguf, read_header
from edge_runner.model_list import load_models

from . import shapes
from .conftest import RunningNode, StartNode, wait_for

pytestmark = pytest.mark.timeout(300)

MODELS = load_models()
SIZED = [
    (model.id, weights.size_bytes)
    for model in MODELS.models.values()
    for weights in model.weights
    if weights.quantization == "Q4_K_M" and weights.size_bytes and model.architecture.layers
]


@pytest.mark.parametrize(("model", "stated"), SIZED, ids=[model for model, _ in SIZED])
def test_computed_weights_are_those_of_the_real_file(model: str, stated: int) -> None:
    """The file has its vocabulary too: some MB of text beside the weights."""
    computed = weights_bytes(MODELS.find(model).architecture)
    assert 0 <= stated - computed < 9_000_000


@pytest.mark.parametrize(
    ("model", "kib"),
    [
        ("ministral-3-3b-instruct-2512", 104),
        ("mistral-7b-instruct-v0.3", 128),
        ("mistral-small-24b-instruct-2501", 160),
    ],
)
def test_a_token_of_kv_cache_takes_what_its_architecture_says(model: str, kib: int) -> None:
    shape = MODELS.find(model).architecture
    assert kv_cache_bytes(shape, 1, 1) == kib * 1024
    assert kv_cache_bytes(shape, 4096, 2, "q8_0") == pytest.approx(0.531 * kv_cache_bytes(shape, 4096, 2), rel=0.001)


def test_a_sliding_window_bounds_the_cache_of_its_layers() -> None:
    shape = MODELS.find("gemma-3-4b-it").architecture
    whole = kv_cache_bytes(Architecture(**{**vars(shape), "sliding_window": None}), 32_768, 1)
    assert kv_cache_bytes(shape, 32_768, 1) < whole / 4


def test_what_may_come_on_top_is_counted_before_a_verdict() -> None:
    """A full host cache, scores of a whole answer a slot, and two windows a slot to go back to."""
    shape = MODELS.find("gemma-3-4b-it").architecture
    one = need(shape, weights=0, context=8192, slots=1, host_cache=64 * MIB)
    whole_too = need(Architecture(**{**vars(shape), "sliding_window": None}), weights=0, context=8192)
    assert one.at_most == one.total + 64 * MIB + one.scores + one.checkpoints
    assert 250 * MIB < one.checkpoints < 320 * MIB
    assert one.kv_cache + one.checkpoints < whole_too.kv_cache
    assert need(shape, weights=0, context=8192, slots=3).scores == 3 * one.scores
    assert whole_too.checkpoints == 0


def test_the_largest_context_fits_and_the_next_does_not() -> None:
    shape, memory = MODELS.find("ministral-3-3b-instruct-2512").architecture, 4096 * MIB
    longest = largest_context(shape, memory, weights=None)
    assert longest > 4096
    assert fits_into(need(shape, weights=None, context=longest, slots=1), memory)
    assert not fits_into(need(shape, weights=None, context=longest + 256, slots=1), memory)
    assert largest_context(shape, 1024 * MIB, weights=None) == 0


def test_what_no_source_states_is_named_and_not_guessed() -> None:
    with pytest.raises(NotEnoughKnown, match="kv_heads"):
        kv_cache_bytes(Architecture(layers=1, head_dim=64), 1, 1)
    lines = list(table(rows(MODELS, 4096 * MIB, 4096, 1, "f16", 0), 4096 * MIB, 4096, 1, "f16"))
    assert any("mistral-small-3.2-24b" in line and "no source states" in line for line in lines)
    assert any("ministral-3-3b" in line and "fits, up to" in line for line in lines)


def test_the_embedded_model_takes_what_was_estimated(node: RunningNode) -> None:
    node.post("/completions", prompt="word " * 1500, max_tokens=2)
    shape = MODELS.find("smollm2-135m-instruct").architecture
    estimate = need(shape, weights=96_576_768, context=2048, slots=2, host_cache=64 * MIB)
    _hold(estimate, node.model()["resident_bytes"])


def test_a_3b_shape_with_4096_tokens_runs_inside_4_gib_as_estimated(tmp_path: Path, start_node: StartNode) -> None:
    _serve_shape("ministral-3-3b-instruct-2512", tmp_path, start_node, memory="4GiB")


@pytest.mark.slow
def test_a_3b_shape_with_4096_tokens_runs_in_a_control_group_of_4_gib(tmp_path: Path, start_node: StartNode) -> None:
    """The whole node under the kernel's own limit. Needs the right to make a memory control group."""
    with control_group(4096 * MIB) as group:
        _serve_shape("ministral-3-3b-instruct-2512", tmp_path, start_node, group=group, memory="4GiB")
        assert group.oom_kills() == 0
        sys.stdout.write(f"most in the group: {group.most() / MIB:.0f} MiB\n")
        assert 2300 * MIB < group.most() <= 4096 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mistral-7b-instruct-v0.3", "mistral-small-24b-instruct-2501"])
@pytest.mark.timeout(1200)
def test_larger_shapes_take_what_was_estimated(model: str, tmp_path: Path, start_node: StartNode) -> None:
    _serve_shape(model, tmp_path, start_node)


def test_a_file_that_is_no_whole_gguf_is_refused_by_what_is_wrong_with_it(tmp_path: Path) -> None:
    tiny = Architecture(
        layers=1,
        hidden=256,
        heads=2,
        kv_heads=1,
        head_dim=128,
        ffn=256,
        vocab=512,
        max_context=256,
        tied_embeddings=True,
    )
    whole = shapes.write(tmp_path / "whole.gguf", tiny)
    header = read_header(whole)
    assert header.weights_bytes == weights_bytes(tiny)
    assert header.architecture().kv_heads == 1
    raw = whole.read_bytes()
    for name, content, says in (
        ("html", b"<html>please log in</html>", "no GGUF file"),
        ("empty", b"", "0 bytes"),
        ("header", raw[:3000], "cut off"),
        ("data", raw[:-1000], "truncated"),
        ("unknown", raw.replace(b"llama", b"alpac", 1), "architecture 'alpac'"),
    ):
        broken = tmp_path / name
        broken.write_bytes(content)
        with pytest.raises(NotGguf, match=says):
            read_header(broken)


@dataclass(frozen=True)
class ControlGroup:
    """A memory control group of the kernel, version 2 or 1."""

    folder: Path
    version: int

    def take_in(self, process: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(process))

    def most(self) -> int:
        return int((self.folder / ("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")).read_text())

    def oom_kills(self) -> int:
        page = (self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")).read_text()
        return int(dict(line.split() for line in page.splitlines())["oom_kill"])


@contextmanager
def control_group(limit: int) -> Iterator[ControlGroup]:
    """A group with this limit and no swap; gone after the test."""
    root = Path("/sys/fs/cgroup")
    version = 2 if (root / "cgroup.controllers").exists() else 1
    group = ControlGroup((root if version == 2 else root / "memory") / f"shipjury-test-{os.getpid()}", version)
    group.folder.mkdir()
    try:
        names = ("memory.max", "memory.swap.max") if version == 2 else ("memory.limit_in_bytes",)
        for name, value in zip(names, (limit, 0), strict=False):
            (group.folder / name).write_text(str(value))
        yield group
    finally:
        for process in (group.folder / "cgroup.procs").read_text().split():
            psutil.Process(int(process)).kill()
        wait_for(lambda: not (group.folder / "cgroup.procs").read_text(), 30)
        group.folder.rmdir()


def _serve_shape(
    model: str, tmp_path: Path, start_node: StartNode, group: ControlGroup | None = None, **settings: str
) -> None:
    """Serve a file of this model's shape with 4,096 tokens of KV cache, and hold its memory against the estimate."""
    shape = MODELS.find(model).architecture
    path = shapes.write(tmp_path / "shape.gguf", shape)
    own = tmp_path / "models.toml"
    own.write_text(
        f'[[model]]\nid = "shape"\nname = "A shape"\nfamily = "-"\nvendor = "-"\nparameters = "-"\n'
        f'licence = {{ name = "none" }}\n[[model.weights]]\nquantization = "Q4_K_M"\n'
        f'sources = [{{ path = "{tmp_path}", file = "{path.name}" }}]\n'
    )
    node = start_node(
        "shape",
        model_list=str(own),
        context_tokens="4096",
        slots="1",
        cache_ram_mib="0",
        ready_seconds="900",
        patience=900,
        ready=False,
        **settings,
    )
    if group is not None:
        group.take_in(node.process.pid)  # long before it has an engine
    node.wait_ready(900)
    answer = node.post("/completions", model="shape", prompt="word " * 30, max_tokens=2)
    assert answer.json()["usage"]["completion_tokens"] > 0
    estimate = need(shape, weights=None, context=4096, slots=1)
    _hold(estimate, node.readyz().json()["models"]["shape"]["resident_bytes"])
    assert node.metric("edge_engine_restarts") == 0


def _hold(estimate: Need, resident: int) -> None:
    """Within 3 % or 60 MiB, whichever is more; what the host cache holds by now comes on top."""
    bound = max(0.03 * estimate.total, 60 * MIB)
    figures = f"estimated {estimate.total / MIB:.0f} MiB, resident {resident / MIB:.0f} MiB"
    sys.stdout.write(figures + "\n")
    assert estimate.total - bound <= resident <= estimate.total + estimate.host_cache + bound, figures
