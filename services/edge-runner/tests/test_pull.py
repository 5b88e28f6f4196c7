"""Getting weights: from a file, from a hub that cuts off, under a licence that restricts; and what is refused."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from edge_runner.domain.models import Architecture, Licence, Model, Source, Weights
from edge_runner.pull import PullFailed, pull
from edge_runner.weights import WeightsMissing, WrongHash, find_weights, sha256_of

from . import shapes
from .conftest import StartNode
from .hub import REVISION, Hub, serving

TINY = Architecture(
    layers=1, hidden=512, heads=4, kv_heads=1, head_dim=128, ffn=512, vocab=49152, max_context=256, tied_embeddings=True
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by all tests, written by none. Larger than a piece that the hub's library writes at once."""
    return shapes.write(tmp_path_factory.mktemp("source") / "tiny.gguf", TINY)


@pytest.fixture
def model(file: Path) -> Model:
    weights = Weights("Q4_K_M", (Source(file.name, hub="a/b"),), file.stat().st_size, sha256_of(file))
    return Model("tiny", "Tiny", "-", "-", "-", Licence("Apache-2.0"), weights=(weights,))


@pytest.fixture
def hub(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub, and the library told of it. It reads its settings at its import."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serving(Hub(file.read_bytes())) as made:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", made.endpoint)
        template = made.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield made


@pytest.fixture
def unhashed(model: Model) -> Model:
    """As most of the list: neither hash nor size is stated."""
    return replace(model, weights=(replace(model.weights[0], sha256=None, size_bytes=None),))


def own_list(folder: Path, weights: Weights) -> Path:
    path = folder / "models.toml"
    stated = f'sha256 = "{weights.sha256}"\n' if weights.sha256 else ""
    path.write_text(
        '[[model]]\nid = "tiny"\nname = "Tiny"\nfamily = "-"\nvendor = "-"\nparameters = "-"\n'
        'licence = { name = "Apache-2.0" }\n[[model.weights]]\nquantization = "Q4_K_M"\n'
        f'{stated}sources = [{{ hub = "a/b", file = "tiny.gguf" }}]\n'
    )
    return path


def test_a_pull_from_the_hub_that_breaks_off_goes_on_where_it_stopped(model: Model, hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = 15_000_000  # the library writes in pieces of 10 MiB
    store, digest = tmp_path / "store", model.weights[0].sha256
    begun = store / "tiny" / ".partial" / f"{digest}-tiny.gguf"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(hub.content[:1_000_000])  # what an earlier pull, killed in the middle, has left
    assert pulled(model, store) == hub.content
    assert hub.ranges == ["bytes=1000000-", "bytes=11485760-"]
    assert find_weights(model, store).sha256 == digest
    assert pulled(model, store) == hub.content
    assert len(hub.ranges) == 2, "what is here is not downloaded again"


def test_a_file_that_is_already_here_is_copied_on_from_where_a_copy_ended(
    model: Model, file: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    part = store / "tiny" / ".partial" / file.name
    part.parent.mkdir(parents=True)
    part.write_bytes(file.read_bytes()[:100_000])
    assert pull(model, store, from_file=file).path.read_bytes() == file.read_bytes()


def test_a_wrong_file_is_refused_and_not_kept(model: Model, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "usb" / file.name
    other.parent.mkdir()
    raw = bytearray(file.read_bytes())
    raw[-5] ^= 1
    other.write_bytes(raw)
    with pytest.raises(PullFailed, match="sha256"):
        pull(model, tmp_path / "store", from_file=other)
    assert not list((tmp_path / "store").rglob("*.gguf"))
    unhashed = replace(model, weights=(replace(model.weights[0], sha256=None),))
    other.write_bytes(raw[:-1000])
    with pytest.raises(PullFailed, match="truncated"):
        pull(unhashed, tmp_path / "store", from_file=other)
    with pytest.raises(WeightsMissing, match="edge-runner pull tiny"):
        find_weights(model, tmp_path / "store")


def test_a_file_that_changed_after_its_pull_is_not_served(model: Model, file: Path, tmp_path: Path) -> None:
    got = pull(model, tmp_path / "store", from_file=file)
    raw = bytearray(got.path.read_bytes())
    raw[-5] ^= 1
    got.path.write_bytes(raw)
    with pytest.raises(WrongHash):
        find_weights(model, tmp_path / "store")


def test_a_licence_that_restricts_is_shown_and_accepted_by_name(model: Model, file: Path, tmp_path: Path) -> None:
    bound = replace(model, licence=Licence("MRL-0.1", "https://example.org", "research only"))
    with pytest.raises(PullFailed, match=r"research only .* --accept-licence MRL-0.1"):
        pull(bound, tmp_path / "store", from_file=file)
    with pytest.raises(PullFailed, match=r"is MRL-0.1, not Apache-2.0"):
        pull(bound, tmp_path / "store", from_file=file, accepted="Apache-2.0")
    assert pull(bound, tmp_path / "store", from_file=file, accepted="MRL-0.1").path.is_file()


def test_a_disk_without_room_is_told_before_the_download(model: Model, hub: Hub, tmp_path: Path) -> None:
    huge = replace(model, weights=(replace(model.weights[0], size_bytes=10**18),))
    with pytest.raises(PullFailed, match=r"are needed and .* are free"):
        pull(huge, tmp_path / "store")
    assert hub.ranges == []


def test_offline_says_so(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PullFailed, match="cannot be reached"):
        pull(model, tmp_path / "store")


def test_an_unknown_quantization_names_those_there_are(model: Model, tmp_path: Path) -> None:
    with pytest.raises(PullFailed, match="there are: Q4_K_M"):
        pull(model, tmp_path, quantization="Q8_0")


def pulled(model: Model, store: Path) -> bytes:
    return pull(model, store).path.read_bytes()


def test_a_gated_repository_wants_a_token_which_its_storage_never_sees(
    unhashed: Model, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_right"
    for wrong in (None, "hf_wrong"):
        if wrong:
            monkeypatch.setenv("HF_TOKEN", wrong)
        with pytest.raises(PullFailed, match=r"a/b is gated: .* HF_TOKEN"):
            pull(unhashed, tmp_path)
    told = [*hub.refused]
    assert "401 GatedRepo" in told
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert pulled(unhashed, tmp_path) == hub.content
    assert hub.refused == told, "the storage refuses whoever shows it a token"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hub": "nobody/nothing"}, "nobody/nothing: .*HF_TOKEN"),
        ({"revision": "v9"}, "a/b has no revision v9"),
        ({"file": "other.gguf"}, "a/b has no file other.gguf at main"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    unhashed: Model, hub: Hub, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    source = replace(Source("tiny.gguf", hub="a/b"), **changed)
    elsewhere = replace(unhashed, weights=(replace(unhashed.weights[0], sources=(source,)),))
    with pytest.raises(PullFailed, match=said):
        pull(elsewhere, tmp_path)
    assert hub.ranges == []


def test_a_pinned_revision_is_what_is_asked_for(unhashed: Model, hub: Hub, tmp_path: Path) -> None:
    source = Source("tiny.gguf", hub="a/b", revision=REVISION)
    pinned = replace(unhashed, weights=(replace(unhashed.weights[0], sources=(source,)),))
    assert pulled(pinned, tmp_path) == hub.content


def test_another_hash_at_the_hub_is_told_before_anything_is_downloaded(model: Model, hub: Hub, tmp_path: Path) -> None:
    hub.etag = "f" * 64
    with pytest.raises(PullFailed, match=r"has sha256 f+ there, the list says .* nothing was downloaded"):
        pull(model, tmp_path)
    assert hub.ranges == []


def test_without_a_hash_in_the_list_the_hubs_own_is_held_against_the_file(
    unhashed: Model, hub: Hub, tmp_path: Path
) -> None:
    hub.etag = "f" * 64  # what it gives is not what it says that it has
    with pytest.raises(PullFailed, match=r"sha256 is .* says f+"):
        pull(unhashed, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.gguf")), "a wrong file is not kept"


def test_a_file_that_is_truncated_at_the_hub_is_refused_and_not_kept(unhashed: Model, hub: Hub, tmp_path: Path) -> None:
    hub.content = hub.content[:-5000]
    with pytest.raises(PullFailed, match="truncated"):
        pull(unhashed, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.gguf"))


def test_a_gguf_file_of_an_unknown_architecture_is_refused_and_not_kept(
    unhashed: Model, hub: Hub, tmp_path: Path
) -> None:
    kind = struct.pack("<Q", 5)
    assert hub.content.count(kind + b"llama", 0, 4096) == 1
    hub.content = hub.content.replace(kind + b"llama", kind + b"mumba", 1)
    with pytest.raises(PullFailed, match="architecture 'mumba' is not known to this node"):
        pull(unhashed, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.gguf"))


def test_a_disk_that_runs_full_keeps_the_part_and_the_next_pull_goes_on(
    unhashed: Model, hub: Hub, tmp_path: Path
) -> None:
    """On a file system of its own that really has no more room; the hub does not say how much will be wanted."""
    hub.states_size = False
    store = tmp_path / "store"
    store.mkdir()
    script = """
        mount -t tmpfs -o size=14m none "$EDGE_MODELS_DIR" || exit 99
        python=$1; shift
        "$python" -m edge_runner pull tiny; echo "first $?"
        stat -c "kept %s" "$EDGE_MODELS_DIR"/tiny/.partial/*
        mount -o remount,size=100m "$EDGE_MODELS_DIR"
        "$python" -m edge_runner pull tiny; echo "again $?"
    """
    settings = {"EDGE_MODELS_DIR": str(store), "EDGE_MODEL_LIST": str(own_list(tmp_path, unhashed.weights[0]))}
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", sys.executable],
        env=os.environ | settings | {"HF_ENDPOINT": hub.endpoint},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"a file system of one's own is needed here: {done.stderr}"
    assert "the disk is full; free some room and pull again, it goes on where it stopped" in done.stderr
    assert "first 1\n" in done.stdout
    assert "again 0\n" in done.stdout
    kept = int(next(line for line in done.stdout.splitlines() if line.startswith("kept")).split()[1])
    assert 0 < kept < len(hub.content)
    assert hub.ranges[-1] == f"bytes={kept}-"
    assert sha256(hub.content).hexdigest() in done.stdout


def test_the_running_model_goes_on_whatever_a_pull_does(
    model: Model, unhashed: Model, hub: Hub, file: Path, tmp_path: Path, start_node: StartNode
) -> None:
    store = tmp_path / "store"
    pull(model, store, from_file=file)
    own = str(own_list(tmp_path, model.weights[0]))
    node = start_node("tiny", model_list=own, models_dir=str(store), slots="1", context_tokens="256")
    served = (store / "tiny" / "tiny.gguf").stat()
    moved = replace(model.weights[0], sources=(Source("tiny.gguf", hub="a/b"), Source("new/tiny-2.gguf", hub="a/b")))
    hub.file, hub.content = "new/tiny-2.gguf", hub.content[:-5000]
    newer = replace(unhashed, weights=(replace(moved, sources=moved.sources[1:], sha256=None, size_bytes=None),))
    with pytest.raises(PullFailed, match="truncated"):
        pull(newer, store)
    answer = node.post("/completions", model="tiny", prompt="x", max_tokens=2)
    assert answer.status_code == 200, answer.text
    assert (store / "tiny" / "tiny.gguf").stat() == served
    assert len(node.engines()) == 1
