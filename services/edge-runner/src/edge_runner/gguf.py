"""Reads the header of a GGUF file: its architecture, its tensors, whether it is whole. No weights are read.

Source of the format: ggml's ``docs/gguf.md``, version 3 (2 differs in nothing that is read here). Little-endian only.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .domain.models import Architecture

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST_SHOWN = 64

# Elements and bytes of a block, by ggml type. Source: ggml's ``ggml-common.h``.
BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}

# What the engine's build can load; others are refused before an engine is started on them.
ARCHITECTURES = frozenset(
    {"llama", "mistral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "smollm3", "granite", "olmo2"}
)


class NotGguf(ValueError):
    """A file is no whole GGUF file that this node can serve; the text says why."""


@dataclass(frozen=True)
class Tensor:
    """A tensor's name, shape (elements), type and bytes."""

    name: str
    shape: tuple[int, ...]
    kind: str
    size: int


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself. Long arrays (the vocabulary) are given by their length only."""

    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data_at: int
    size: int

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors)

    def architecture(self) -> Architecture:
        """The numbers that decide memory, as the file states them."""
        kind = self.metadata["general.architecture"]

        def number(name: str) -> int | None:
            value = self.metadata.get(f"{kind}.{name}")
            return int(value) if isinstance(value, int | float) else None

        heads, hidden = number("attention.head_count"), number("embedding_length")
        return Architecture(
            layers=number("block_count"),
            hidden=hidden,
            heads=heads,
            kv_heads=number("attention.head_count_kv") or heads,
            head_dim=number("attention.key_length") or (hidden // heads if hidden and heads else None),
            ffn=number("feed_forward_length"),
            vocab=next((tensor.shape[-1] for tensor in self.tensors if tensor.name == "token_embd.weight"), None),
            max_context=number("context_length"),
            tied_embeddings=all(tensor.name != "output.weight" for tensor in self.tensors),
            sliding_window=number("attention.sliding_window"),
            sources=("the file's own header",),
        )


def read_header(path: Path) -> Header:
    """The header of a file. Raises :class:`NotGguf` for another format, an unknown architecture, a truncated file."""
    size = path.stat().st_size
    if size < 24:
        raise NotGguf(f"{path}: {size} bytes are no GGUF file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _parse(path, data, size)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise NotGguf(f"{path}: the header is cut off or broken") from error


def _parse(path: Path, data: mmap.mmap, size: int) -> Header:
    if data[:4] != b"GGUF":
        raise NotGguf(f"{path}: no GGUF file: it starts with {data[:4]!r}")
    reader = _Reader(data, 4)
    version = reader.scalar("I")
    if version not in (2, 3):
        raise NotGguf(f"{path}: GGUF version {version}; 2 and 3 are read")
    tensor_count, entry_count = reader.scalar("Q"), reader.scalar("Q")
    metadata = {}
    for _ in range(entry_count):
        name = reader.text()
        metadata[name] = reader.value(reader.scalar("I"))
    tensors, end = _tensors(path, reader, tensor_count)
    kind = metadata.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise NotGguf(f"{path}: architecture {kind!r} is not known to this node")
    alignment = int(metadata.get("general.alignment", 32))
    data_at = -(-reader.at // alignment) * alignment
    if size < data_at + end:
        raise NotGguf(f"{path}: truncated: {size} of {data_at + end} bytes are there")
    return Header(metadata, tuple(tensors), data_at, size)


def _tensors(path: Path, reader: "_Reader", count: int) -> tuple[list[Tensor], int]:
    tensors, end = [], 0
    for _ in range(count):
        name = reader.text()
        shape = tuple(reader.scalar("Q") for _ in range(reader.scalar("I")))
        kind, offset = reader.scalar("I"), reader.scalar("Q")
        if kind not in BLOCKS:
            raise NotGguf(f"{path}: tensor {name} has type {kind}, which is not known to this node")
        label, elements, block = BLOCKS[kind]
        total = 1
        for dimension in shape:
            total *= dimension
        tensor = Tensor(name, shape, label, total // elements * block)
        tensors.append(tensor)
        end = max(end, offset + tensor.size)
    return tensors, end


class _Reader:
    """Walks over the header's fields."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self.data, self.at = data, at

    def scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def text(self) -> str:
        length = self.scalar("Q")
        raw = self.data[self.at : self.at + length]
        if len(raw) != length:
            raise IndexError("past the end")
        self.at += length
        return raw.decode()

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            raise IndexError(f"no value type {kind}")
        inner, length = self.scalar("I"), self.scalar("Q")
        if inner in _SCALARS and length > _LONGEST_SHOWN:
            self.at += struct.calcsize("<" + _SCALARS[inner]) * length
            return length
        values = [self.value(inner) for _ in range(length)]
        return values if length <= _LONGEST_SHOWN else length
