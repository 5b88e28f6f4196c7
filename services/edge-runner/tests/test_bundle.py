"""The bundle: the same bytes each time, refused when touched, and enough for a machine that has no network at all."""

import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from edge_runner import bundle
from edge_runner.bundle_wheels import NoWheels, requirement
from edge_runner.domain.models import Architecture, Licence, Model, Source, Weights
from edge_runner.model_list import load_models
from edge_runner.weights import LocalWeights, find_weights, sha256_of

from . import shapes
from .conftest import MODEL

TINY = Architecture(
    layers=1, hidden=512, heads=4, kv_heads=1, head_dim=128, ffn=512, vocab=49152, max_context=256, tied_embeddings=True
)
FREE = Licence("Apache-2.0")
BOUND = Licence("MRL-0.1", "https://example.org", "research only")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> LocalWeights:
    path = shapes.write(tmp_path_factory.mktemp("weights") / "tiny.gguf", TINY)
    model = Model(
        "tiny", "Tiny", "-", "-", "-", FREE, weights=(Weights("Q4_K_M", (Source("tiny.gguf", path=str(path.parent)),)),)
    )
    return find_weights(model, path.parent)


@pytest.fixture
def model() -> Model:
    there = Weights("Q4_K_M", (Source("deep/tiny.gguf", hub="a/b"),))
    return Model("tiny", 'Tiny "1"', "-", "-", "-", FREE, TINY, (there,))


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Two wheels in name; whoever installs them gets nothing, but no test here comes that far."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("shipjury_edge_runner-0.1.0-py3-none-any.whl", "other-2.0-cp311-abi3-manylinux2014_x86_64.whl"):
        with zipfile.ZipFile(folder / name, "w") as wheel:
            wheel.writestr("nothing.txt", name)
    return folder


@pytest.fixture
def unpacked(model: Model, weights: LocalWeights, wheels: Path, tmp_path: Path) -> Path:
    return unpack(bundle.make(model, weights, tmp_path / "tiny.tar", wheels=wheels).path, tmp_path)


def unpack(path: Path, folder: Path) -> Path:
    with tarfile.open(path) as tar:
        tar.extractall(folder)  # noqa: S202 - our own file; Python 3.11.2 knows no filter
    return next(folder.glob("shipjury-edge-*"))


def install(unpacked: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", str(unpacked / "install.sh"), *arguments, str(unpacked.parent / "target")],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_same_weights_and_wheels_make_the_same_bytes(
    model: Model, weights: LocalWeights, wheels: Path, tmp_path: Path
) -> None:
    first = bundle.make(model, weights, tmp_path / "one.tar", wheels=wheels)
    again = bundle.make(model, weights, tmp_path / "two.tar", wheels=wheels)
    assert first.sha256 == again.sha256 == sha256(first.path.read_bytes()).hexdigest()
    assert (tmp_path / "one.tar.sha256").read_text() == f"{first.sha256}  one.tar\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["one.tar", "one.tar.sha256", "two.tar", "two.tar.sha256", "wheels"]
    )


def test_the_manifest_tells_of_every_file(unpacked: Path) -> None:
    told = json.loads((unpacked / "manifest.json").read_text())
    there = {str(path.relative_to(unpacked)): path for path in unpacked.rglob("*") if path.is_file()}
    assert set(told["files"]) == set(there) - {"manifest.json", "SHA256SUMS"}
    for name, said in told["files"].items():
        assert said == {"sha256": sha256_of(there[name]), "size": there[name].stat().st_size}, name
    assert told["platform"]["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert "shipjury-edge-runner==0.1.0 --hash=sha256:" in (unpacked / "requirements.txt").read_text()


def test_the_model_list_in_it_states_hash_and_size_of_the_very_file(
    unpacked: Path, model: Model, weights: LocalWeights
) -> None:
    listed = load_models(unpacked / "models.toml").find("tiny")
    assert listed.weights[0].sha256 == weights.sha256
    assert listed.weights[0].sources == (Source("tiny.gguf", hub="a/b"),)
    assert replace(listed, weights=()) == replace(model, weights=())
    assert find_weights(listed, unpacked / "models").sha256 == weights.sha256
    assert tomllib.loads((unpacked / "models.toml").read_text())["model"][0]["name"] == 'Tiny "1"'


@pytest.mark.parametrize(
    "name",
    ["models/tiny/tiny.gguf", "wheels/other-2.0-cp311-abi3-manylinux2014_x86_64.whl", "models.toml", "manifest.json"],
)
def test_a_bundle_that_was_touched_installs_nothing(unpacked: Path, name: str) -> None:
    raw = bytearray((unpacked / name).read_bytes())
    raw[-3] ^= 1
    (unpacked / name).write_bytes(raw)
    refused = install(unpacked)
    assert refused.returncode != 0
    assert "not as it was made; nothing was installed" in refused.stderr
    assert name in refused.stdout + refused.stderr
    assert not (unpacked.parent / "target").exists()


def test_a_bundle_with_a_missing_file_installs_nothing(unpacked: Path) -> None:
    next(unpacked.glob("wheels/other*")).unlink()
    assert "nothing was installed" in install(unpacked).stderr
    assert not (unpacked.parent / "target").exists()


def test_a_licence_that_restricts_is_shown_by_the_installer_and_accepted_by_name(
    model: Model, weights: LocalWeights, wheels: Path, tmp_path: Path
) -> None:
    bound = replace(model, licence=BOUND)
    unpacked = unpack(bundle.make(bound, weights, tmp_path / "bound.tar", wheels=wheels).path, tmp_path)
    for arguments in ((), ("--accept-licence", "Apache-2.0")):
        refused = install(unpacked, *arguments)
        assert "tiny is under MRL-0.1: research only." in refused.stderr
        assert "--accept-licence MRL-0.1" in refused.stderr
    (unpacked / "models.toml").unlink()  # accepted, it goes on to look at the files, and no further
    assert "nothing was installed" in install(unpacked, "--accept-licence", "MRL-0.1").stderr


def test_a_bundle_for_another_machine_says_so(unpacked: Path) -> None:
    script = unpacked / "install.sh"
    script.write_text(script.read_text().replace("Linux", "Plan9"))
    assert "this bundle is for Plan9" in install(unpacked).stderr


def test_wheels_without_the_runner_are_no_bundle(
    model: Model, weights: LocalWeights, wheels: Path, tmp_path: Path
) -> None:
    next(wheels.glob("shipjury*")).unlink()
    with pytest.raises(bundle.BundleFailed, match="no wheel of shipjury-edge-runner"):
        bundle.make(model, weights, tmp_path / "x.tar", wheels=wheels)
    assert not list(tmp_path.glob("x.tar*"))
    with pytest.raises(NoWheels):
        requirement(Path("nothing.whl"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bundle_installs_and_serves_where_there_is_no_network(tmp_path: Path) -> None:
    apart = ["unshare", "--map-root-user", "--net"]
    able = subprocess.run([*apart, "true"], capture_output=True, text=True, check=False)
    assert able.returncode == 0, f"network namespaces of one's own are needed here, and cannot be had: {able.stderr}"
    made = subprocess.run(
        [sys.executable, "-m", "edge_runner", "bundle", MODEL, "-o", str(tmp_path / "node.tar")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    unpacked, target = unpack(tmp_path / "node.tar", tmp_path), tmp_path / "node"
    driver = Path(__file__).with_name("airgapped.py")
    served = subprocess.run(
        [*apart, sys.executable, str(driver), str(unpacked), str(target)], capture_output=True, text=True, check=False
    )
    assert served.returncode == 0, served.stderr
    told = json.loads(served.stdout)
    assert told["answer"]["choices"][0]["message"]["content"]
    assert told["answer"]["usage"]["completion_tokens"] == 8
    assert told["ended"] == 0
    assert all(place.startswith(str(target)) for place in told["packages"]), told["packages"]
