"""What a node should hold, by which generation, and which models make room for another one."""

from collections.abc import Sequence
from dataclasses import dataclass

from .fit import MARGIN_BYTES


@dataclass(frozen=True)
class Wanted:
    """A model that a node should hold. ``None`` takes the node's own settings; ``context_tokens`` of one request."""

    model: str
    context_tokens: int | None = None
    slots: int | None = None
    accept_licence: str | None = None


@dataclass(frozen=True)
class Desired:
    """A node's whole desired set. ``generation`` 0 is what the node was started with, before anybody deployed."""

    generation: int
    models: tuple[Wanted, ...]
    cordoned: bool = False
    drained: bool = False

    @property
    def closed(self) -> bool:
        """Whether new requests are kept away."""
        return self.cordoned or self.drained


class CannotHold(Exception):
    """A wanted model cannot be held. ``code`` is for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Resident:
    """A model in memory. ``needs`` in bytes; ``last_used`` on any clock; a ``busy`` one is never unloaded."""

    model: str
    needs: int
    busy: bool
    last_used: float


def make_room(needs: int, budget: int, residents: Sequence[Resident]) -> tuple[str, ...] | None:
    """Which models to unload so that one of ``needs`` bytes fits into ``budget``; ``None`` where none of it helps now.

    The least recently used goes first; one whose room turns out not to be needed stays.
    """
    missing = needs + MARGIN_BYTES + sum(one.needs for one in residents) - budget
    idle = sorted((one for one in residents if not one.busy), key=lambda one: one.last_used)
    going: list[Resident] = []
    for one in idle:
        if missing <= 0:
            break
        going.append(one)
        missing -= one.needs
    if missing > 0:
        return None
    for one in reversed(going[:-1]):
        if missing + one.needs <= 0:
            going.remove(one)
            missing += one.needs
    return tuple(one.model for one in going)
