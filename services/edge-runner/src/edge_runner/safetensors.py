"""Reads a model folder in Hugging Face's layout: ``config.json``, ``tokenizer.json`` and ``*.safetensors``.

Only headers are read. Source of the formats: safetensors' README (8 bytes of length, then JSON); ``config.json`` as
``transformers`` writes it.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .domain.models import Architecture

_LONGEST_HEADER = 100_000_000


class NotAModelFolder(ValueError):
    """A folder is no whole model that vLLM could serve; the text says why."""


@dataclass(frozen=True)
class Folder:
    """What a model folder says of itself."""

    path: Path
    config: dict[str, Any]
    files: tuple[Path, ...]
    weights_bytes: int

    @property
    def quantization(self) -> str:
        """Such as ``AWQ`` where the weights are quantized, else their type, such as ``BFLOAT16``."""
        method = (self.config.get("quantization_config") or {}).get("quant_method")
        return str(method or self.config.get("dtype") or self.config.get("torch_dtype") or "unknown").upper()

    def architecture(self) -> Architecture:
        """The numbers that decide memory, as the folder states them."""
        text = self.config.get("text_config") or self.config
        heads, hidden = text.get("num_attention_heads"), text.get("hidden_size")
        return Architecture(
            layers=text.get("num_hidden_layers"),
            hidden=hidden,
            heads=heads,
            kv_heads=text.get("num_key_value_heads", heads),
            head_dim=text.get("head_dim") or (hidden // heads if hidden and heads else None),
            ffn=text.get("intermediate_size"),
            vocab=text.get("vocab_size"),
            max_context=text.get("max_position_embeddings"),
            tied_embeddings=text.get("tie_word_embeddings", self.config.get("tie_word_embeddings")),
        )

    def sha256(self, of: Callable[[Path], str]) -> str:
        """One hash for all that decides the answers: of each file's name and hash, in order."""
        lines = "".join(f"{of(file)}  {file.name}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()


def read_folder(path: Path) -> Folder:
    """What the folder holds. Raises :class:`NotAModelFolder`."""
    for needed in ("config.json", "tokenizer.json"):
        if not (path / needed).is_file():
            raise NotAModelFolder(f"{path}: no {needed}")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise NotAModelFolder(f"{path}: no *.safetensors")
    missing = _missing(path, weights)
    if missing:
        raise NotAModelFolder(f"{path}: not all weights are here; missing: {', '.join(missing)}")
    try:
        config = json.loads((path / "config.json").read_text())
    except ValueError as error:
        raise NotAModelFolder(f"{path}/config.json: {error}") from error
    files = (path / "config.json", path / "tokenizer.json", *weights)
    return Folder(path, config, files, sum(_tensor_bytes(file) for file in weights))


def _missing(path: Path, weights: Iterable[Path]) -> list[str]:
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return []
    wanted = set(json.loads(index.read_text())["weight_map"].values())
    return sorted(wanted - {file.name for file in weights})


def _tensor_bytes(file: Path) -> int:
    """Bytes of all tensors. Raises :class:`NotAModelFolder` where the file is cut off."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else _LONGEST_HEADER
        if length >= min(size, _LONGEST_HEADER):
            raise NotAModelFolder(f"{file}: no safetensors file")
        try:
            header = json.loads(opened.read(length))
        except ValueError as error:
            raise NotAModelFolder(f"{file}: no safetensors file: {error}") from error
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if 8 + length + end > size:
        raise NotAModelFolder(f"{file}: truncated: {size:,} of {8 + length + end:,} bytes")
    return int(end)
