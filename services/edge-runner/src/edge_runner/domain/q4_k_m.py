"""Which tensors a dense model has, and in which type llama.cpp's Q4_K_M mix stores each: the size of a file to come.

Source of the mix: ``llama_tensor_get_type`` in llama.cpp's ``llama-quant.cpp``. Half of the layers keep ``attn_v`` and
``ffn_down`` in Q6_K; so is the output matrix (the embedding itself, where they are one). A row that is no multiple of
256 elements falls back: Q4_K to Q5_0, Q6_K to Q8_0. Held against the stated sizes of real files in the tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .models import Architecture

# Elements and bytes of a block. Source: ggml's ``ggml-common.h``.
BLOCK = {"Q4_K": (256, 144), "Q6_K": (256, 210), "Q5_0": (32, 22), "Q8_0": (32, 34), "F32": (1, 4)}
_FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}


class NotEnoughKnown(ValueError):
    """An architecture lacks a number that memory depends on."""


@dataclass(frozen=True)
class TensorPlan:
    """A tensor as it would be stored. ``row`` and ``rows`` in elements."""

    name: str
    row: int
    rows: int
    kind: str

    @property
    def size(self) -> int:
        """Bytes."""
        elements, block = BLOCK[self.kind]
        return self.row * self.rows // elements * block


def tensors(shape: Architecture) -> Iterator[TensorPlan]:
    """The tensors of a model of the Llama form. Raises :class:`NotEnoughKnown`.

    Where no source says whether the embedding serves as output too, it is counted twice: no estimate falls short.
    """
    layers, hidden, heads, kv_heads = known(shape, "layers", "hidden", "heads", "kv_heads")
    head_dim, ffn, vocab = known(shape, "head_dim", "ffn", "vocab")
    yield _stored("token_embd", hidden, vocab, "Q6_K" if shape.tied_embeddings else "Q4_K")
    if not shape.tied_embeddings:
        yield _stored("output", hidden, vocab, "Q6_K")
    yield TensorPlan("output_norm.weight", hidden, 1, "F32")
    for layer in range(layers):
        name, finer = f"blk.{layer}.", "Q6_K" if more_bits(layer, layers) else "Q4_K"
        yield TensorPlan(name + "attn_norm.weight", hidden, 1, "F32")
        yield _stored(name + "attn_q", hidden, heads * head_dim, "Q4_K")
        yield _stored(name + "attn_k", hidden, kv_heads * head_dim, "Q4_K")
        yield _stored(name + "attn_v", hidden, kv_heads * head_dim, finer)
        yield _stored(name + "attn_output", heads * head_dim, hidden, "Q4_K")
        yield TensorPlan(name + "ffn_norm.weight", hidden, 1, "F32")
        yield _stored(name + "ffn_gate", hidden, ffn, "Q4_K")
        yield _stored(name + "ffn_up", hidden, ffn, "Q4_K")
        yield _stored(name + "ffn_down", ffn, hidden, finer)


def weights_bytes(shape: Architecture) -> int:
    """Bytes of all weights in this mix. Raises :class:`NotEnoughKnown`."""
    return sum(tensor.size for tensor in tensors(shape))


def more_bits(layer: int, layers: int) -> bool:
    """Whether this layer's ``attn_v`` and ``ffn_down`` are kept finer (llama.cpp's ``use_more_bits``)."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def known(shape: Architecture, *names: str) -> list[int]:
    """The named numbers. Raises :class:`NotEnoughKnown` that names those which no source states."""
    missing = [name for name in names if getattr(shape, name) is None]
    if missing:
        raise NotEnoughKnown(f"no source states {', '.join(missing)}")
    return [getattr(shape, name) for name in names]


def _stored(name: str, row: int, rows: int, kind: str) -> TensorPlan:
    return TensorPlan(f"{name}.weight", row, rows, kind if row % 256 == 0 else _FALLBACK[kind])
