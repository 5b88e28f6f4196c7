"""Readers' routes, under ``/votes``. :func:`public_app` makes the app of what :class:`Parts` holds."""

from .public import Parts, public_app

__all__ = ["Parts", "public_app"]
