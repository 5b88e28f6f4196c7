"""Tiny models with random weights, as entries of a model list of one's own: several of them load within a second."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from edge_runner.domain import fit
from edge_runner.domain.models import Architecture

from . import shapes

SHAPE = Architecture(
    layers=2,
    hidden=256,
    heads=4,
    kv_heads=2,
    head_dim=64,
    ffn=512,
    vocab=2048,
    max_context=8192,
    tied_embeddings=True,
)
CONTEXT, SLOTS = 4096, 1


def needs(cache_ram_mib: int = 0) -> int:
    """Bytes that one of them takes, by the node's own estimate."""
    one = fit.need(SHAPE, weights=None, context=CONTEXT, slots=SLOTS, host_cache=cache_ram_mib * fit.MIB)
    return one.at_most


def memory_for(models: int) -> str:
    """A budget that holds so many of them, and not one more."""
    return str(fit.MARGIN_BYTES + models * needs() + needs() // 2)


def model_list(folder: Path, **entries: str) -> Path:
    """A list of tiny models, and their file in ``folder``; each value is what differs of the entry, as TOML."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tiny.gguf"
    if not file.exists():
        shapes.write(file, SHAPE)
    path = folder / "models.toml"
    path.write_text("\n".join(_entry(name, more, file) for name, more in entries.items()))
    return path


def settings(folder: Path, **changes: str) -> Mapping[str, str]:
    """Settings of a node that holds tiny models; ``folder`` is the only one that it writes to."""
    return {
        "models_dir": str(folder),
        "context_tokens": str(CONTEXT),
        "slots": str(SLOTS),
        "cache_ram_mib": "0",
        "threads": "1",
        "kv_type": "f16",
    } | changes


def sha256(folder: Path) -> str:
    """Hash of the file."""
    return hashlib.sha256((folder / "tiny.gguf").read_bytes()).hexdigest()


def _entry(name: str, more: str, file: Path) -> str:
    given = {
        "licence": '{ name = "Apache-2.0" }',
        "weights": f'[{{ quantization = "Q4_K_M", sources = [{{ path = "{file.parent}", file = "{file.name}" }}] }}]',
    }
    lines = [line for line in more.splitlines() if line]
    stated = {line.partition("=")[0].strip() for line in lines}
    lines += [f"{key} = {value}" for key, value in given.items() if key not in stated]
    return "\n".join(
        [
            "[[model]]",
            f'id = "{name}"',
            f'name = "Tiny {name}"',
            'family = "Tiny"',
            'vendor = "Nobody"',
            'parameters = "2M"',
            *lines,
        ]
    )
