"""Finds a model's weights on this machine and holds them against the hash of the list."""

import contextlib
import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .domain.models import Architecture, Model, Source, Weights
from .gguf import read_header

_CHUNK = 1 << 20


class WeightsMissing(FileNotFoundError):
    """No file of this model is on this machine; the text says how to get one."""


class WrongHash(ValueError):
    """A file is not the one that the list names; it is not served."""


class Header(Protocol):
    """What weights say of themselves, whatever their format."""

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors."""
        ...

    def architecture(self) -> Architecture:
        """The numbers that decide memory."""
        ...


@dataclass(frozen=True)
class LocalWeights:
    """Verified weights: a GGUF file, or a folder of safetensors."""

    path: Path
    quantization: str
    sha256: str
    header: Header


def find_weights(model: Model, models_dir: Path) -> LocalWeights:
    """The first file of the model that is here, verified.

    Raises :class:`WeightsMissing`, :class:`WrongHash`, ``NotGguf``.
    """
    for weights in model.weights:
        for source in weights.sources:
            path = locate(source, models_dir / model.id)
            if path is not None:
                return LocalWeights(path, weights.quantization, verify(path, weights), read_header(path))
    raise WeightsMissing(f"{model.id}: no weights on this machine; get them with: edge-runner pull {model.id}")


def locate(source: Source, stored: Path) -> Path | None:
    """Where a source's file lies, or ``None``. A package is found without importing it (its imports may be heavy)."""
    if source.path is not None:
        candidate = Path(source.path).expanduser() / source.file
    elif source.package is not None:
        spec = importlib.util.find_spec(source.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        candidate = Path(spec.submodule_search_locations[0]) / source.file
    else:
        candidate = stored / Path(source.file).name
    return candidate if candidate.is_file() else None


def verify(path: Path, weights: Weights) -> str:
    """The file's sha256 (hex). Raises :class:`WrongHash` where the list states another."""
    digest = _remembered(path) or sha256_of(path)
    if weights.sha256 is not None and digest != weights.sha256:
        raise WrongHash(f"{path}: sha256 is {digest}, the list says {weights.sha256}: this file is not served")
    return digest


def remember(path: Path, digest: str) -> None:
    """Note a file's hash beside it: hashing 14 GB at every start would take half a minute."""
    _note(path).write_text(json.dumps({"sha256": digest, **_identity(path)}))


def remembered_sha256(path: Path) -> str:
    """A file's hash, from the note beside it; where there is none it is made, and noted if that is possible."""
    digest = _remembered(path)
    if digest is None:
        digest = sha256_of(path)
        with contextlib.suppress(OSError):
            remember(path, digest)
    return digest


def _remembered(path: Path) -> str | None:
    """The noted hash, where the file has not changed since."""
    try:
        noted = json.loads(_note(path).read_text())
    except (OSError, ValueError):
        return None
    return str(noted["sha256"]) if _identity(path).items() <= noted.items() else None


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256.json")


def _identity(path: Path) -> dict[str, int]:
    found = path.stat()
    return {"size": found.st_size, "modified_ns": found.st_mtime_ns}


def sha256_of(path: Path) -> str:
    """Hash of a file, hex; reads it in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
