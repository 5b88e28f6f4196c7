"""Getting weights: from a file, from a hub that cuts off, under a licence that restricts; and what is refused."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runner.domain.models import Architecture, Licence, Model, Source, Weights
from edge_runner.pull import PullFailed, pull
from edge_runner.weights import WeightsMissing, WrongHash, find_weights, sha256_of

from . import shapes

TINY = Architecture(
    layers=1, hidden=512, heads=4, kv_heads=1, head_dim=128, ffn=512, vocab=49152, max_context=256, tied_embeddings=True
)


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download needs. ``cut_after``: bytes after which the next answer breaks off, once."""

    content = b""
    cut_after: int | None = None
    ranges: list[str | None]

    def do_HEAD(self) -> None:
        self._head(len(self.content), 200)

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        type(self).ranges.append(asked)
        begin = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        rest = self.content[begin:]
        self._head(len(rest), 206 if asked else 200)
        if asked and self.cut_after:  # without a range it is the library's look at the headers
            rest, type(self).cut_after = rest[: self.cut_after], None
        self.wfile.write(rest)
        self.close_connection = True

    def _head(self, length: int, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return shapes.write(tmp_path / "tiny.gguf", TINY)


@pytest.fixture
def model(file: Path) -> Model:
    weights = Weights("Q4_K_M", (Source(file.name, hub="a/b"),), file.stat().st_size, sha256_of(file))
    return Model("tiny", "Tiny", "-", "-", "-", Licence("Apache-2.0"), weights=(weights,))


@pytest.fixture
def hub(file: Path) -> Iterator[tuple[type[Hub], str]]:
    handler = type("OneHub", (Hub,), {"content": file.read_bytes(), "ranges": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_pull_from_the_hub_that_breaks_off_goes_on_where_it_stopped(
    model: Model, hub: tuple[type[Hub], str], tmp_path: Path
) -> None:
    handler, endpoint = hub
    handler.cut_after = 15_000_000  # the library writes in pieces of 10 MiB
    own = tmp_path / "models.toml"
    weights = model.weights[0]
    own.write_text(
        '[[model]]\nid = "tiny"\nname = "Tiny"\nfamily = "-"\nvendor = "-"\nparameters = "-"\n'
        'licence = { name = "Apache-2.0" }\n[[model.weights]]\nquantization = "Q4_K_M"\n'
        f'sha256 = "{weights.sha256}"\nsources = [{{ hub = "a/b", file = "tiny.gguf" }}]\n'
    )
    store = tmp_path / "store"

    def command() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edge_runner", "pull", "tiny"],
            env=os.environ | {"HF_ENDPOINT": endpoint, "EDGE_MODELS_DIR": str(store), "EDGE_MODEL_LIST": str(own)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    begun = store / "tiny" / ".partial" / "abc-tiny.gguf"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(handler.content[:1_000_000])  # what an earlier pull, killed in the middle, has left
    first = command()
    assert first.returncode == 0, first.stderr
    got = store / "tiny" / "tiny.gguf"
    assert got.read_bytes() == handler.content
    assert handler.ranges[1:] == ["bytes=1000000-", "bytes=11485760-"]
    assert find_weights(model, store).sha256 == weights.sha256
    before = len(handler.ranges)
    assert command().returncode == 0
    assert len(handler.ranges) == before


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


def test_a_disk_without_room_is_told_before_the_download(
    model: Model, hub: tuple[type[Hub], str], tmp_path: Path
) -> None:
    huge = replace(model, weights=(replace(model.weights[0], size_bytes=10**18),))
    with pytest.raises(PullFailed, match=r"are needed and .* are free"):
        pull(huge, tmp_path / "store")
    assert hub[0].ranges == []


def test_offline_says_so(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PullFailed, match="cannot be reached"):
        pull(model, tmp_path / "store")


def test_an_unknown_quantization_names_those_there_are(model: Model, tmp_path: Path) -> None:
    with pytest.raises(PullFailed, match="there are: Q4_K_M"):
        pull(model, tmp_path, quantization="Q8_0")
