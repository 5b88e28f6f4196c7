"""Which models fit this device: the table of ``edge-runner fit``, and its rows for programs."""

from collections.abc import Iterable
from dataclasses import dataclass

from .domain import fit
from .domain.models import Model, ModelList
from .domain.q4_k_m import NotEnoughKnown


@dataclass(frozen=True)
class Row:
    """One model in one quantization on a device. ``why_not`` where nothing can be computed."""

    model: Model
    quantization: str
    need: fit.Need | None
    fits: bool
    largest_context: int
    why_not: str | None = None


def rows(models: ModelList, memory: int, context: int, slots: int, kv_type: str, host_cache: int) -> Iterable[Row]:
    """A row a model and quantization, smallest first; those of which too little is known come last."""
    made = [
        _row(model, weights.quantization, weights.size_bytes, memory, context, slots, kv_type, host_cache)
        for model in models.models.values()
        for weights in model.weights
    ]
    made += [Row(model, "-", None, False, 0, model.why_not) for model in models.models.values() if not model.weights]
    return sorted(made, key=lambda row: row.need.total if row.need else float("inf"))


def table(found: Iterable[Row], memory: int, context: int, slots: int, kv_type: str) -> Iterable[str]:
    """The rows as lines of text."""
    requests = "one request" if slots == 1 else f"{slots} requests"
    yield f"{memory / 2**30:.1f} GiB, {requests} of {context:,} tokens, KV cache {kv_type}. MiB:"
    yield f"{'model':36}{'file':8}{'weights':>9}{'KV':>7}{'buffers':>9}{'total':>8}  verdict"
    for row in found:
        name = f"{row.model.id:36}{row.quantization:8}"
        if row.need is None:
            yield f"{name}{'':33}  unknown: {row.why_not}"
            continue
        figures = (row.need.weights, row.need.kv_cache, row.need.buffers, row.need.total)
        mib = "".join(
            f"{round(figure / fit.MIB):>{width}}" for figure, width in zip(figures, (9, 7, 9, 8), strict=True)
        )
        yield f"{name}{mib}  {_verdict(row)}" + (
            f"; licence: {row.model.licence.name}" if row.model.licence.restricts else ""
        )


def _verdict(row: Row) -> str:
    if row.fits:
        return f"fits, up to {row.largest_context:,} tokens"
    if row.largest_context:
        return f"too long; {row.largest_context:,} tokens fit"
    return "does not fit"


def _row(
    model: Model, quantization: str, size: int | None, memory: int, context: int, slots: int, kv_type: str, cache: int
) -> Row:
    shape = model.architecture
    if size is None and quantization != "Q4_K_M":
        return Row(model, quantization, None, False, 0, "the size of this file is not known")
    try:
        served = min(context, shape.max_context or context)
        wanted = fit.need(shape, weights=size, context=served, slots=slots, kv_type=kv_type, host_cache=cache)
        longest = fit.largest_context(shape, memory, weights=size, slots=slots, kv_type=kv_type, host_cache=cache)
    except NotEnoughKnown as error:
        return Row(model, quantization, None, False, 0, str(error))
    return Row(model, quantization, wanted, fit.fits_into(wanted, memory), longest)
