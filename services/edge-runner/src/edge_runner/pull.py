"""Gets a model's weights from a file, a package or the Hugging Face hub; what is not as stated is not kept.

A download that was cut off is resumed by the next ``pull``. Nothing here touches a model that is being served: a file
gets its name only when it is whole and verified.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from .domain.models import Model, Source, Weights
from .gguf import NotGguf, read_header
from .weights import LocalWeights, WrongHash, locate, remember, verify

_CHUNK = 4 << 20
_SPARE_BYTES = 64 << 20


class PullFailed(Exception):
    """The weights could not be got; the text says why and what to do."""


def pull(
    model: Model,
    models_dir: Path,
    *,
    quantization: str | None = None,
    from_file: Path | None = None,
    accepted: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> LocalWeights:
    """Get and verify one file of the model. Raises :class:`PullFailed`.

    ``accepted`` is the licence's name, wanted where it restricts the use. ``from_file`` takes the place of the list's
    sources; its hash must be the list's all the same.
    """
    _licence(model, accepted)
    weights = _chosen(model, quantization)
    folder = models_dir / model.id
    sources = (Source(file=from_file.name, path=str(from_file.parent)),) if from_file else weights.sources
    failures = []
    for source in sources:
        try:
            path, stated = _get(source, weights, folder, tell)
            return _verified(path, Path(source.file).name, stated, folder)
        except (PullFailed, WrongHash, NotGguf) as error:
            failures.append(str(error))
    raise PullFailed("; ".join(failures))


def _licence(model: Model, accepted: str | None) -> None:
    licence = model.licence
    if licence.restricts is None or accepted == licence.name:
        return
    if accepted is not None:
        raise PullFailed(f"the licence of {model.id} is {licence.name}, not {accepted}")
    raise PullFailed(
        f"{model.id} is under {licence.name}: {licence.restricts} ({licence.source}). "
        f"If you may and want to use it so: edge-runner pull {model.id} --accept-licence {licence.name}"
    )


def _chosen(model: Model, quantization: str | None) -> Weights:
    if model.why_not:
        raise PullFailed(f"{model.id}: {model.why_not}")
    for weights in model.weights:
        if quantization in (None, weights.quantization):
            return weights
    there = ", ".join(weights.quantization for weights in model.weights) or "none"
    raise PullFailed(f"{model.id} has no file {quantization or ''}; there are: {there}")


def _get(source: Source, weights: Weights, folder: Path, tell: Callable[[str], None]) -> tuple[Path, Weights]:
    """A file that is to be verified, and what is stated of it."""
    if source.hub is not None:
        return _from_hub(source, weights, folder, tell)
    found = locate(source, folder)
    if found is None:
        where = f"package {source.package}" if source.package else source.path
        raise PullFailed(f"{source.file} is not in {where}")
    return found if source.package else _copied(found, folder, tell), weights


def _from_hub(source: Source, weights: Weights, folder: Path, tell: Callable[[str], None]) -> tuple[Path, Weights]:
    """The library knows addresses, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE; the partial file is ours.

    Its own ``hf_hub_download`` gives each try a file of its own, so that nothing is resumed after a restart. What the
    hub states of the file (its hash, its size) is held against the list before anything large is downloaded.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # it is in their documentation

    done = folder / Path(source.file).name
    if done.is_file():
        return done, weights
    if constants.HF_HUB_OFFLINE:
        raise PullFailed(f"{source.hub} cannot be reached: HF_HUB_OFFLINE is set")
    _room(folder, weights.size_bytes)
    tell(f"{source.hub} at {source.revision}: {source.file}")
    address = hf_hub_url(str(source.hub), source.file, revision=source.revision)
    try:
        found = get_hf_file_metadata(address)
        stated = _agreed(weights, source, found.etag or "", found.size)
        part = folder / ".partial" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', found.etag or 'none')}-{done.name}"
        part.parent.mkdir(parents=True, exist_ok=True)
        begun = part.stat().st_size if part.exists() else 0
        _room(folder, None if found.size is None else found.size - begun)
        headers = build_hf_headers()
        if urlsplit(found.location).netloc != urlsplit(address).netloc:
            headers.pop("authorization", None)  # the token is the hub's, not that of the storage that it points to
        with part.open("ab") as target:
            if found.size is None or target.tell() < found.size:
                http_get(found.location, target, resume_size=target.tell(), headers=headers, expected_size=found.size)
    except (PullFailed, WrongHash):
        raise
    except HfHubHTTPError as error:
        raise PullFailed(_refused(error, source)) from error
    except Exception as error:  # the library lets through errors of whichever HTTP client it uses
        raise PullFailed(_said(error, source.file)) from error
    return part, stated


def _agreed(weights: Weights, source: Source, etag: str, size: int | None) -> Weights:
    """What list and hub together state of a file; the hub's ETag of a large file is its sha256.

    Raises :class:`WrongHash` where they differ.
    """
    hashed = etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None
    for what, ours, theirs in (("sha256", weights.sha256, hashed), ("size", weights.size_bytes, size)):
        if ours is not None and theirs is not None and ours != theirs:
            raise WrongHash(
                f"{source.hub}: {source.file} has {what} {theirs} there, the list says {ours}: nothing was downloaded"
            )
    return replace(weights, sha256=weights.sha256 or hashed, size_bytes=weights.size_bytes or size)


def _refused(error: Exception, source: Source) -> str:
    from huggingface_hub.errors import GatedRepoError, RemoteEntryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"{source.hub} is gated: accept its terms on the hub, then set HF_TOKEN to a token that may read it"
    if isinstance(error, RevisionNotFoundError):
        return f"{source.hub} has no revision {source.revision}"
    if isinstance(error, RemoteEntryNotFoundError):
        return f"{source.hub} has no file {source.file} at {source.revision}"
    said = next((line for line in str(error).splitlines() if line.strip()), repr(error))
    return f"{source.hub}: {said}; a repository that is not public wants HF_TOKEN"


def _copied(found: Path, folder: Path, tell: Callable[[str], None]) -> Path:
    """A copy in the node's own store, so that a stick can be pulled out. It goes on where an earlier copy ended."""
    done, part = folder / found.name, folder / ".partial" / found.name
    if done.is_file():
        return done
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        size = found.stat().st_size
        _room(folder, size - (part.stat().st_size if part.exists() else 0))
        tell(f"copying {found}")
        with found.open("rb") as source, part.open("ab") as target:
            source.seek(target.tell())
            shutil.copyfileobj(source, target, _CHUNK)
            os.fsync(target.fileno())
    except OSError as error:
        raise PullFailed(_said(error, found.name)) from error
    return part


def _verified(path: Path, name: str, weights: Weights, folder: Path) -> LocalWeights:
    """The file under its own name, when it is what the list says. A wrong one of ours is removed."""
    ours = folder in path.parents
    try:
        digest, header = verify(path, weights), read_header(path)
    except (WrongHash, NotGguf):
        if ours:
            path.unlink()
        raise
    if ours:
        path = path.replace(folder / name)
        remember(path, digest)
    return LocalWeights(path, weights.quantization, digest, header)


def _room(folder: Path, size: int | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size is not None and size + _SPARE_BYTES > free:
        raise PullFailed(f"{folder}: {size >> 20} MiB are needed and {free >> 20} MiB are free")


def _said(error: Exception, file: str) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{file}: the disk is full; free some room and pull again, it goes on where it stopped"
    return f"{file}: {str(error) or repr(error)}; pull again, it goes on where it stopped"
