"""A model as data: what it is, what it may be used for, which files carry it and where they come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class UnknownModel(LookupError):
    """No model of that id is in the list."""

    def __init__(self, model: str, known: Iterable[str]) -> None:
        super().__init__(f"no model {model!r} in the list; known are: {', '.join(sorted(known))}")
        self.model = model


@dataclass(frozen=True)
class Architecture:
    """The numbers that decide a model's memory. ``None`` where no source was found, never guessed.

    ``head_dim`` in elements; ``max_context`` and ``sliding_window`` in tokens. ``global_every``: with a sliding window,
    every n-th layer still attends to the whole context.
    """

    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    ffn: int | None = None
    vocab: int | None = None
    max_context: int | None = None
    tied_embeddings: bool | None = None
    sliding_window: int | None = None
    global_every: int | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Licence:
    """``restricts`` says what use it forbids or binds to terms; then it must be accepted by ``name`` before a pull."""

    name: str
    source: str | None = None
    restricts: str | None = None


@dataclass(frozen=True)
class Source:
    """Where a file comes from: a path, an installed package, or a Hugging Face repository at a revision."""

    file: str
    path: str | None = None
    package: str | None = None
    hub: str | None = None
    revision: str = "main"


@dataclass(frozen=True)
class Weights:
    """One file of one quantization. ``size_bytes`` and ``sha256`` are ``None`` where no source states them."""

    quantization: str
    sources: tuple[Source, ...]
    size_bytes: int | None = None
    sha256: str | None = None
    source: str | None = None
    """Where size and hash were read."""


@dataclass(frozen=True)
class Model:
    """An entry of the model list."""

    id: str
    name: str
    family: str
    vendor: str
    parameters: str
    licence: Licence
    architecture: Architecture = field(default_factory=Architecture)
    weights: tuple[Weights, ...] = ()
    released: str | None = None
    hub: str | None = None
    function_calling: bool | None = None
    embeddings: str | None = None
    """How it makes one vector of a text (mean, cls, last), where it is a model for embeddings; such a one generates no
    text."""
    modalities: tuple[str, ...] = ("text",)
    lifecycle: str | None = None
    conflicts: tuple[str, ...] = ()
    """Where sources disagree, in words."""
    why_not: str | None = None
    """Why it cannot be pulled, where it cannot."""


@dataclass(frozen=True)
class ModelList:
    """All models that a node knows, by id."""

    models: Mapping[str, Model] = field(default_factory=dict)

    def find(self, model: str) -> Model:
        """The model of that id. Raises :class:`UnknownModel`."""
        try:
            return self.models[model]
        except KeyError:
            raise UnknownModel(model, self.models) from None
