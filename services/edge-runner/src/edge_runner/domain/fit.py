"""What a model needs in memory, as arithmetic: weights, KV cache, buffers; and the largest context that still fits.

KV cache = 2 x layers x kv_heads x head_dim x context x bytes an element. The engine holds the weights once (it is
started so). The figures for buffers are fitted to measurements on a CPU. ``tests/test_fit.py`` holds the whole
estimate of llama.cpp against resident memory; that of vLLM rests on a single reading.
"""

from dataclasses import dataclass

from .models import Architecture
from .q4_k_m import known, weights_bytes

MIB = 1024 * 1024

# Bytes of an element of the KV cache: f16; q8_0 stores 32 elements in 34 bytes.
KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32}

# Beside the engine: the runner's own process (about 100 MiB), and what the engine maps without touching it.
MARGIN_BYTES = 160 * MIB

# An engine that writes a whole answer holds all its log-probabilities as JSON. More than so many, tokens times
# alternatives, are refused (``api/room.py``), so their room can be counted. In a stream each takes a sixteenth.
MOST_SCORES = 16_384
MOST_SCORES_STREAMED = 16 * MOST_SCORES
_SCORE_BYTES = 1_331

_STEP_TOKENS = 256
_PROCESS_BYTES = {"llama.cpp": 58 * MIB, "vllm": 2430 * MIB}  # vLLM: three processes, each with torch in it
_WINDOW_PAD = 256
_CHECKPOINTS = 2  # kept by llama.cpp of each slot's window, to go back to; it is started so
_BLOCK_TOKENS = 128  # vLLM gives its KV cache out in blocks; on a CPU they are this long


@dataclass(frozen=True)
class Need:
    """Bytes that serving takes.

    Used only as they come: ``host_cache`` for evicted prefixes, ``scores`` for log-probabilities of answers that are
    being written, ``checkpoints`` for what layers with a sliding window had before.
    """

    weights: int
    kv_cache: int
    buffers: int
    host_cache: int = 0
    scores: int = 0
    checkpoints: int = 0

    @property
    def total(self) -> int:
        """What the engine has resident when its slots are full."""
        return self.weights + self.kv_cache + self.buffers

    @property
    def at_most(self) -> int:
        """The total with all that may come on top: what a limit must leave room for."""
        return self.total + self.host_cache + self.scores + self.checkpoints


def kv_cache_bytes(
    shape: Architecture, context: int, slots: int, kv_type: str = "f16", engine: str = "llama.cpp"
) -> int:
    """Bytes of the KV cache of ``slots`` requests of ``context`` tokens each.

    Raises ``NotEnoughKnown``; ``ValueError`` for a type that the engine does not have.
    """
    layers, kv_heads, head_dim = known(shape, "layers", "kv_heads", "head_dim")
    token_of_a_layer = 2 * kv_heads * head_dim * KV_BYTES[kv_type]
    if engine == "vllm":
        if kv_type != "f16":
            raise ValueError(f"vLLM is served with a KV cache of f16 only, not {kv_type}")
        blocks = slots * -(-context // _BLOCK_TOKENS) + 1  # one block is never given out
        return int(token_of_a_layer * layers * blocks * _BLOCK_TOKENS)
    if shape.sliding_window and shape.global_every:
        whole = layers // shape.global_every
        return int(token_of_a_layer * whole * context * slots) + _window_bytes(shape, context, slots, kv_type)
    return int(token_of_a_layer * layers * context * slots)


def _window_bytes(shape: Architecture, context: int, slots: int, kv_type: str) -> int:
    """The part of the KV cache that belongs to layers with a sliding window; 0 where there is none."""
    if not (shape.sliding_window and shape.global_every):
        return 0
    layers, kv_heads, head_dim = known(shape, "layers", "kv_heads", "head_dim")
    tokens = -(-(shape.sliding_window * slots + _STEP_TOKENS) // _WINDOW_PAD) * _WINDOW_PAD
    of_a_token = 2 * kv_heads * head_dim * KV_BYTES[kv_type] * (layers - layers // shape.global_every)
    return int(of_a_token * min(context * slots, tokens))


def buffer_bytes(shape: Architecture, context: int, slots: int, engine: str = "llama.cpp") -> int:
    """Compute buffers, attention mask, logits and the engine's processes, in bytes."""
    hidden, heads, head_dim, ffn, vocab = known(shape, "hidden", "heads", "head_dim", "ffn", "vocab")
    activations = _STEP_TOKENS * 4 * (2 * hidden + heads * head_dim + 2 * ffn)
    mask = context * _STEP_TOKENS * 2
    logits = vocab * slots * 4 * 4
    return int(activations + mask + logits + _PROCESS_BYTES[engine])


def need(
    shape: Architecture,
    *,
    weights: int | None,
    context: int,
    slots: int = 1,
    kv_type: str = "f16",
    host_cache: int = 0,
    engine: str = "llama.cpp",
) -> Need:
    """What serving takes. ``weights`` in bytes where the file's size is known, else it is computed for Q4_K_M.

    Only llama.cpp has a cache of evicted prefixes: for vLLM ``host_cache`` counts for nothing.
    """
    llama = engine == "llama.cpp"
    return Need(
        weights=weights if weights is not None else weights_bytes(shape),
        kv_cache=kv_cache_bytes(shape, context, slots, kv_type, engine),
        buffers=buffer_bytes(shape, context, slots, engine),
        host_cache=host_cache if llama else 0,
        scores=slots * MOST_SCORES * _SCORE_BYTES if llama else 0,
        checkpoints=slots * _CHECKPOINTS * _window_bytes(shape, context, 1, kv_type) if llama else 0,
    )


def fits_into(wanted: Need, memory: int) -> bool:
    """Whether a node with ``memory`` bytes can serve this, with the margin that a node needs beside its engine."""
    return wanted.at_most + MARGIN_BYTES <= memory


def largest_context(
    shape: Architecture,
    memory: int,
    *,
    weights: int | None,
    slots: int = 1,
    kv_type: str = "f16",
    host_cache: int = 0,
    engine: str = "llama.cpp",
) -> int:
    """The most tokens a request may have so that all fits into ``memory`` bytes; 0 where nothing fits.

    In steps of 256 tokens, at most the model's own context.
    """
    fits = 0
    low, high = 1, max(1, (shape.max_context or 131_072) // 256)
    while low <= high:
        middle = (low + high) // 2
        context = middle * 256
        wanted = need(
            shape,
            weights=weights,
            context=context,
            slots=slots,
            kv_type=kv_type,
            host_cache=host_cache,
            engine=engine,
        )
        if fits_into(wanted, memory):
            fits, low = context, middle + 1
        else:
            high = middle - 1
    return fits
