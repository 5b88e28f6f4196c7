"""What the runner needs of an engine: a command that starts it, its dialect, and why it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ..domain.logprobs import ScoredToken
from ..domain.models import Model
from ..weights import LocalWeights


@dataclass(frozen=True)
class ServeSpec:
    """One model as it shall be served. ``context`` in tokens a slot; ``memory_limit`` in bytes, ``None`` for any."""

    model: str
    path: Path
    context: int
    slots: int
    threads: int
    cache_ram_mib: int = 64
    kv_type: str = "f16"
    memory_limit: int | None = None
    pooling: str | None = None
    """How an embedding model makes one vector of a text: mean, cls or last; ``None`` for a model that generates."""
    folder: Path | None = None
    """A folder to write to, for an engine that writes and finds no home and no ``/tmp``."""


@dataclass(frozen=True)
class Command:
    """How an engine is started. ``env`` is added to the runner's own and is never logged."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class EngineFailure:
    """Why an engine ended or did not start, in words for an operator."""

    kind: Literal["out_of_memory", "bad_weights", "crash", "not_ready"]
    text: str


class Engine(Protocol):
    """An engine's adapter. Engines speak OpenAI's HTTP API on a loopback port; where a dialect differs, it says so."""

    name: str
    max_logprobs: int
    capabilities: tuple[str, ...]
    kv_page: str
    """Path of the page that says how much of the KV cache is taken."""

    def build(self) -> str:
        """Name and version of the engine, such as ``llama.cpp (xllamacpp 2026.10)``. What exams are keyed by."""
        ...

    def command(self, spec: ServeSpec, port: int, key: str) -> Command:
        """How to start it. ``key`` is what its callers must carry."""
        ...

    def why_it_ended(self, exit_code: int, last_lines: Sequence[str], oom_killed: bool) -> EngineFailure:
        """Tell out of memory from bad weights from a crash. A negative exit code is the signal's number."""
        ...

    def find_weights(self, model: Model, models_dir: Path) -> LocalWeights:
        """The model in the format that this engine serves. Raises ``WeightsMissing``, or says what is wrong with it."""
        ...

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body of a request (OpenAI's, as the runner makes it) in the engine's own dialect."""
        ...

    def in_slot(self, body: dict[str, Any], slot: int) -> dict[str, Any]:
        """The body of a request that shall have this slot; unchanged where an engine knows no slots."""
        ...

    def choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A choice of a chat (a whole answer's or one chunk's) without what only this engine knows."""
        ...

    def completion_logprobs(self, choice: Mapping[str, Any], spec: ServeSpec) -> Sequence[ScoredToken]:
        """The scored tokens of one choice of ``/v1/completions`` (a whole answer's or one chunk's)."""
        ...

    def kv_use(self, page: str) -> float | None:
        """Share of the KV cache that running requests have, 0 to 1; ``None`` where the page does not say."""
        ...

    def prompt_to_count(self, prompt: str) -> tuple[str, dict[str, Any]]:
        """Path and body that tokenize a plain prompt."""
        ...

    def chat_to_count(self, chat: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Path and body that render (llama.cpp) or tokenize (vLLM) a chat."""
        ...
