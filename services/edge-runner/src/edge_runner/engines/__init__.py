"""Engines are subprocesses behind one adapter: llama.cpp, and whatever else has what ``Engine`` asks for."""

from .adapter import Engine, EngineFailure, ServeSpec
from .llama_cpp import LlamaCpp

__all__ = ["Engine", "EngineFailure", "LlamaCpp", "ServeSpec", "engine_named"]


def engine_named(name: str) -> Engine:
    """The engine of that name. Raises ``ValueError`` that lists those there are."""
    engines: dict[str, type[Engine]] = {"llama.cpp": LlamaCpp}
    try:
        return engines[name]()
    except KeyError:
        raise ValueError(f"no engine {name!r}; there are: {', '.join(engines)}") from None
