"""The OpenAI-compatible API of a node: HTTP to engine to response."""

from .app import public_api

__all__ = ["public_api"]
