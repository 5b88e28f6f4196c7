"""Engines are subprocesses behind one adapter: llama.cpp, vLLM, and whatever else has what ``Engine`` asks for."""

from pathlib import Path

from ..domain.models import Model
from ..weights import locate
from .adapter import Engine, EngineFailure, ServeSpec
from .llama_cpp import LlamaCpp
from .vllm import Vllm, has_gpu

__all__ = ["ENGINES", "Engine", "EngineFailure", "LlamaCpp", "ServeSpec", "Vllm", "engine_for", "engine_named"]

ENGINES = ("llama.cpp", "vllm")


def engine_named(name: str, vllm: str = "vllm") -> Engine:
    """The engine of that name; ``vllm`` is vLLM's command. Raises ``ValueError`` that says which there are."""
    if name == LlamaCpp.name:
        return LlamaCpp()
    if name == Vllm.name:
        return Vllm(vllm)
    raise ValueError(f"no engine {name!r}; there are: {', '.join(ENGINES)}, and auto")


def engine_for(name: str, model: Model, models_dir: Path, vllm: str = "vllm") -> Engine:
    """The engine of that name; for ``auto``, vLLM where host and weights are made for it, else llama.cpp.

    That is: vLLM is installed, the model lies there as a folder of safetensors, and either a GPU is there too, or
    nothing that llama.cpp could serve.
    """
    if name != "auto":
        return engine_named(name, vllm)
    if (models_dir / model.id / Vllm.FOLDER).is_dir() and (has_gpu() or not _has_gguf(model, models_dir)):
        try:
            return Vllm(vllm)
        except ValueError:
            return LlamaCpp()
    return LlamaCpp()


def _has_gguf(model: Model, models_dir: Path) -> bool:
    sources = [source for weights in model.weights for source in weights.sources]
    return any(locate(source, models_dir / model.id) for source in sources)
