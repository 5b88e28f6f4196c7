"""One file that brings a model and the runner to a machine without a network: weights, wheels, hashes, an installer.

The file is a plain tar, since weights do not compress. The same weights, sources and lock give the same bytes: entries
are sorted, and nothing in it tells when, where or by whom it was made.
"""

import hashlib
import io
import json
import platform
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from .bundle_wheels import NoWheels, collect, requirement
from .domain.models import Model, Source, Weights
from .weights import LocalWeights, sha256_of

FORMAT = 1


class BundleFailed(Exception):
    """No bundle was made; the text says why."""


@dataclass(frozen=True)
class Made:
    """A bundle that was made. ``sha256`` is of the whole file; it travels by another way than the file."""

    path: Path
    size: int
    sha256: str
    files: int


@dataclass(frozen=True)
class _Entry:
    """A file of the bundle: on this disk, or made here."""

    name: str
    content: Path | bytes
    sha256: str
    size: int
    executable: bool = False


def make(
    model: Model,
    weights: LocalWeights,
    target: Path,
    *,
    wheels: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Made:
    """Write the bundle of one model to ``target``. Raises :class:`BundleFailed`; then nothing is left behind."""
    if not weights.path.is_file():
        raise BundleFailed(f"{weights.path} is no single file; bundles are made of GGUF files")
    part = target.with_name(target.name + ".partial")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bundle-") as folder:
            tell("collecting wheels, about a minute" if wheels is None else f"wheels: {wheels}")
            collected = collect(Path(folder) / "wheels", wheels)
            entries = list(_entries(model, weights, collected))
            tell(f"writing {sum(entry.size for entry in entries) >> 20} MiB")
            _write(part, f"shipjury-edge-{model.id}", entries)
        part.replace(target)
    except NoWheels as error:
        raise BundleFailed(str(error)) from error
    except OSError as error:
        raise BundleFailed(f"{target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    digest = sha256_of(target)
    target.with_name(target.name + ".sha256").write_text(f"{digest}  {target.name}\n")
    return Made(target, target.stat().st_size, digest, len(entries))


def _entries(model: Model, weights: LocalWeights, wheels: list[Path]) -> Iterator[_Entry]:
    """Everything, by name; the manifest and the sums last, since they tell of the rest."""
    kept: list[_Entry] = []
    requirements = []
    for wheel in wheels:
        kept.append(_Entry(f"wheels/{wheel.name}", wheel, sha256_of(wheel), wheel.stat().st_size))
        requirements.append(f"{requirement(wheel)} --hash=sha256:{kept[-1].sha256}")
    size = weights.path.stat().st_size
    kept += [
        _Entry(f"models/{model.id}/{weights.path.name}", weights.path, weights.sha256, size),
        _made("models.toml", model_list_of(model, weights)),
        _made("requirements.txt", "\n".join(sorted(requirements)) + "\n"),
        _made("install.sh", _installer(model), executable=True),
    ]
    kept.append(_made("manifest.json", json.dumps(_manifest(model, weights, kept), indent=1, sort_keys=True) + "\n"))
    sums = "".join(f"{entry.sha256}  {entry.name}\n" for entry in sorted(kept, key=lambda entry: entry.name))
    yield from sorted([*kept, _made("SHA256SUMS", sums)], key=lambda entry: entry.name)


def _manifest(model: Model, weights: LocalWeights, entries: list[_Entry]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model": model.id,
        "quantization": weights.quantization,
        "licence": asdict(model.licence),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        },
        "files": {entry.name: {"sha256": entry.sha256, "size": entry.size} for entry in entries},
    }


def model_list_of(model: Model, weights: LocalWeights) -> str:
    """A model list of this one model, with the hash and the size of the very file: what the list did not state."""
    name = weights.path.name
    same = (source for one in model.weights for source in one.sources if source.hub and Path(source.file).name == name)
    origin = next(same, Source(name))
    stated = "computed when the bundle was made"
    size = weights.path.stat().st_size
    chosen = Weights(weights.quantization, (replace(origin, file=name),), size, weights.sha256, stated)
    entry = asdict(replace(model, weights=(chosen,), why_not=None))
    nested = {name: entry.pop(name) for name in ("licence", "architecture", "weights")}
    lines = ["[[model]]", *_toml(entry)]
    for name in ("licence", "architecture"):
        lines += ["", f"[model.{name}]", *_toml(nested[name])]
    for one in nested["weights"]:
        sources = one.pop("sources")
        inline = ", ".join("{ " + ", ".join(_toml(source)) + " }" for source in sources)
        lines += ["", "[[model.weights]]", *_toml(one), f"sources = [{inline}]"]
    return "\n".join(lines) + "\n"


def _toml(values: dict[str, Any]) -> list[str]:
    """Strings, numbers, truth values and lists of strings are written in TOML as in JSON."""
    return [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]


def _installer(model: Model) -> str:
    licence = model.licence
    told = {
        "@MODEL@": model.id,
        "@PYTHON@": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "@SYSTEM@": platform.system(),
        "@MACHINE@": platform.machine(),
        "@LICENCE@": licence.name,
        "@RESTRICTS@": licence.restricts or "",
    }
    text = files(__package__).joinpath("bundle_install.sh").read_text()
    for mark, value in told.items():
        text = text.replace(mark, value.replace("'", " "))
    return text


def _made(name: str, text: str, executable: bool = False) -> _Entry:
    raw = text.encode()
    return _Entry(name, raw, hashlib.sha256(raw).hexdigest(), len(raw), executable)


def _write(path: Path, top: str, entries: list[_Entry]) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            header = tarfile.TarInfo(f"{top}/{entry.name}")
            header.size, header.mode = entry.size, 0o755 if entry.executable else 0o644
            if isinstance(entry.content, bytes):
                tar.addfile(header, io.BytesIO(entry.content))
            else:
                with entry.content.open("rb") as file:
                    tar.addfile(header, file)
