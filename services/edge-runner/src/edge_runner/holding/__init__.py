"""The models that a node holds: planned, loaded on demand, unloaded for others, kept over restarts."""

from .book import Book
from .keeper import Keeper
from .plan import DoesNotFit, check_room, plan
from .shelf import NotLoaded, Shelf

__all__ = ["Book", "DoesNotFit", "Keeper", "NotLoaded", "Shelf", "check_room", "plan"]
